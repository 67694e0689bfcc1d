"""A CSV file that lists pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.errors import InputError
from hpsearch.pictures.own_images import read_own_images
from hpsearch.pictures.table import read_table
from hpsearch.sources.find import find_dataset
from tests.support.drawings import write_drawings

ROWS = [f"c{c}/{d:03}.png" for c in range(4) for d in range(4)]


def write_table(folder: Path, text: str | bytes) -> Path:
    write_drawings(folder, {f"c{c}": 4 for c in range(4)})
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("path,label\n", "{path},sort {kind}\n"),
        ("\ufeffLabel;PATH;note\r\n", "sort {kind};{path};x\r\n\r\n"),
        ("path\tlabel\n", '{path}\t"sort {kind}"\n'),
        ("\n\npath;label\n", "{path};sort {kind};\n"),
    ],
)
def test_labels_come_from_the_file(tmp_path: Path, header: str, row: str) -> None:
    rows = "".join(row.format(path=path, kind=path[1]) for path in ROWS)
    contents = read_own_images(write_table(tmp_path, header + rows))
    assert contents.background.names == tuple(f"list/sort {kind}" for kind in range(4))
    assert "own images in list: 4 classes, split by picture" in contents.description
    assert contents.notices == ()


def test_groups_and_splits_are_kept(tmp_path: Path) -> None:
    splits = ("train", "Training", "val", "test")
    rows = "".join(f"{path},x,{path[1]},{splits[int(path[5])]}\n" for path in ROWS)
    listing = read_table(write_table(tmp_path, "path,label,group,split\n" + rows))
    assert [one.role for one in listing.pictures[:4]] == [
        "background", "background", "validation", "test",
    ]  # fmt: skip
    assert [one.group for one in listing.pictures[::4]] == ["0", "1", "2", "3"]
    contents = read_own_images(tmp_path / "list.csv")
    assert "split as the column split says: the same classes in each" in contents.description
    assert contents.background.names == ("0/x", "1/x", "2/x", "3/x")


def test_a_missing_file_and_a_repeated_row_are_named(tmp_path: Path) -> None:
    rows = "".join(f"{path},{path[1]}\n" for path in (*ROWS, ROWS[0], "c9/9.png"))
    contents = read_own_images(write_table(tmp_path, f"path,label\n{rows[:-2]}1\n"))
    assert contents.notices == (
        "pictures listed twice, taken once: 1 (c0/000.png)",
        "left out, cannot be read: 1 (c9/9.png: no such image file)",
    )


def test_a_changed_picture_is_read_again(tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,label\n" + "".join(f"{p},{p[1]}\n" for p in ROWS))
    first = find_dataset("auto", table)
    assert find_dataset("auto", table) == first
    (tmp_path / ROWS[3]).write_bytes((tmp_path / ROWS[6]).read_bytes())
    assert find_dataset("auto", table).fingerprint != first.fingerprint


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "absolute": ("path,label\n/etc/x.png,a\n", r"row 2: path: '/etc/x\.png' leads outside"),
    "another drive": ("path,label\nC:\\x.png,a\n", "leads outside"),
    "upward": ("path,label\na/../../x.png,a\n", "leads outside"),
    "upward for Windows": ("path,label\n..\\x.png,a\n", "leads outside"),
    "two labels": (
        "path,label\na.png,a\nb.png,a\na.png,b\n",
        r"row 4: a\.png stands there twice, as a and as b",
    ),
    "two splits": ("path,label,split\na.png,a,train\na.png,a,test\n", "twice"),
    "no label": ("path,label\na.png,\n", "row 2: no label"),
    "no column": ("path,name\na.png,a\n", "row 1 has 0 columns 'label'"),
    "a column twice": ("path,label,label\na.png,a,b\n", "row 1 has 2 columns 'label'"),
    "an optional column twice": ("path,label,group,group\na.png,a,b,c\n", "2 columns 'group'"),
    "an unquoted separator": ("path,label,group\na.png,a, b,c\n", "row 2: 4 fields, the header"),
    "a slash in a group": ("path,label,group\na.png,c,a/b\n", "row 2: group: 'a/b' holds a slash"),
    "empty": ("", "row 1 has 0 columns 'path'"),
    "only a header": ("path,label\n", "no class: no row"),
    "not UTF-8": ("path,label\nä,b\n".encode("latin-1"), "byte 11 is not UTF-8"),
    "an unknown split": ("path,label,split\na.png,a,x\n", "split: 'x'; write train"),
    "a split here and there": ("path,label,split\na.png,a,\nb.png,a,train\n", "empty for 1 of 2"),
    "nothing to train on": ("path,label,split\na.png,a,val\nb.png,a,test\n", "no picture is for"),
    "an open quote": ('path,label\n"a.png,a\n', "not a whole CSV file"),
    "a zero byte": ("path,label\na\0,a\n", "zero byte"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    text, words = REFUSED[case]
    table = write_table(tmp_path, text)
    with pytest.raises(InputError, match=words) as caught:
        find_dataset("folder", table)
    assert str(table) in str(caught.value)
