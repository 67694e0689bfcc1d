"""Own images under names that are no UTF-8: what is packed of them is text."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hpsearch.configfile import dump_yaml, parse_yaml
from hpsearch.data import open_test_set
from hpsearch.sources.find import find_dataset
from tests.support.cases import images_folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of images; it and two of its classes have Latin-1 names."""
    folder = images_folder(tmp_path / "images")
    for number in (3, 12):
        other = os.fsencode(folder) + b"/caf\xe9%d" % number
        os.rename(folder / f"character{number:02}", other)  # noqa: PTH104
    named = Path(os.fsdecode(os.fsencode(tmp_path) + b"/h\xe9"))
    try:
        return folder.rename(named)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")


def test_oa10_names_that_are_no_utf8_are_packed_as_text(images: Path) -> None:
    dataset = find_dataset("folder", images)
    test = open_test_set(dataset, "a test").characters
    roles = (dataset.background(), dataset.validation(), test)
    names = [name for role in roles for name in (*role.names, *role.alphabets)]
    assert {"h\\xe9/caf\\xe93", "h\\xe9/caf\\xe912", "h\\xe9"} <= set(names)
    assert parse_yaml(dump_yaml({"names": names}).encode(), "names")["names"] == names
    assert json.loads(json.dumps(names)) == names
    assert find_dataset("folder", images) == dataset  # found by what is noted of its files
    assert find_dataset("folder", images, afresh=True) == dataset
