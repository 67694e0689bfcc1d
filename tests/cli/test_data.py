"""`hpsearch data` and that the data package leaves torch alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hpsearch.cli.data import app
from hpsearch.errors import InputError
from tests.sources.test_older_rules import write_images


def test_show_prints_facts(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "own", {"": 20})
    done = CliRunner().invoke(app, ["show", "--data", str(folder), "--json"])
    facts = json.loads(done.stdout)
    assert facts["kind"] == "folder"
    assert facts["ways"] == 5
    assert facts["chance"] == 0.2
    assert facts["roles"]["background"] == {"alphabets": 1, "characters": 10, "images": 30}
    plain = CliRunner().invoke(app, ["check", "--data", str(folder)]).stdout
    assert facts["fingerprint"] in plain
    assert "5 ways, chance 20.0 %" in plain


def test_wrong_data_is_an_input_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["show", "--data", str(tmp_path / "nowhere")])
    assert isinstance(done.exception, InputError)


@pytest.mark.parametrize("module", ["hpsearch.data", "hpsearch.cli.data"])
def test_no_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
