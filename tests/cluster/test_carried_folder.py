"""A command's checkpoint folder that is carried between nodes arrives as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray comes with the extra ray")

from hpsearch.cluster.node import pack_folder, unpack_folder


def test_links_inside_a_checkpoint_folder_are_carried(tmp_path: Path) -> None:
    one, other = tmp_path / "one" / "checkpoint", tmp_path / "other"
    (one / "step-2" / "deep").mkdir(parents=True)
    other.mkdir()
    (one / "step-2" / "weights").write_text("2")
    (one.parent / "beside").write_text("not the program's")
    for name, target in {
        "latest": "step-2",
        "best": "latest",
        "absolute": one / "step-2",
        "around": "../../one/checkpoint/step-2",
        "step-2/deep/up": "../weights",
        "later": "step-3",
        "itself": "itself",
    }.items():
        (one / name).symlink_to(target)
    for name, target in {
        "away": "/etc",
        "up": "../beside",
        "through": "up",
        "far": "../" * 40 + "etc/passwd",
    }.items():
        (one / name).symlink_to(target)
    unpack_folder(pack_folder(one), other)
    carried = other / "checkpoint"
    links = {path.relative_to(carried): path for path in carried.rglob("*") if path.is_symlink()}
    assert {str(name): str(path.readlink()) for name, path in links.items()} == {
        "latest": "step-2",
        "best": "latest",
        "absolute": "step-2",
        "around": "step-2",
        "step-2/deep/up": "../weights",
        "later": "step-3",
        "itself": "itself",
    }
    for name in ("latest/weights", "best/weights", "around/weights", "step-2/deep/up"):
        assert (carried / name).read_text() == "2"
