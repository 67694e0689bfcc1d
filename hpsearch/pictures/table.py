"""Read a CSV file that lists pictures: path and label, and optionally group and split.

Must not know images.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path, PurePosixPath, PureWindowsPath

from hpsearch.errors import InputError, shortened
from hpsearch.pictures.listing import Listing, Picture, read_file
from hpsearch.pictures.looks import SPLITS, counted

NEEDED = ("path", "label")
OPTIONAL = ("group", "split")
MAX_CSV_BYTES = 100_000_000


def read_table(source: Path) -> Listing:
    """List the pictures of a CSV file with a header row; other columns are ignored.

    Args:
        source: UTF-8, fields separated by commas, semicolons or tabs.

    Raises:
        InputError: A column is missing or there twice, or a row has no path or label, more fields
            than the header, leads outside the file's folder, names an unknown split, or gives a
            picture a second label.
    """
    (top, header), *rows = _rows(source) or [(1, [])]
    columns = [name.strip().lower() for name in header]
    for name in (*NEEDED, *OPTIONAL):
        if (count := columns.count(name)) > 1 or (not count and name in NEEDED):
            raise InputError(
                f"{source}: row {top} has {count} columns {name!r}; the header row "
                f"names {' and '.join(NEEDED)}, and may name {' and '.join(OPTIONAL)}"
            )
    found: dict[str, Picture] = {}
    twice = []
    for number, row in rows:
        if any(map(str.strip, row[len(columns) :])):
            raise InputError(
                f"{source}: row {number}: {len(row)} fields, the header has {len(columns)}; put "
                "quotes around a field that holds the separator"
            )
        picture = _picture(f"{source}: row {number}", dict(zip(columns, row, strict=False)))
        before = found.setdefault(picture.file, picture)
        if before != picture:
            raise InputError(
                f"{source}: row {number}: {picture.file} stands there twice, as {_said(before)} "
                f"and as {_said(picture)}; keep one"
            )
        if before is not picture:
            twice.append(picture.file)
    if not found:
        raise InputError(f"{source}: no class: no row below the header; list a picture a row")
    pictures = sorted(found.values(), key=lambda one: (one.group, one.label, one.file))
    _check_whole(source, pictures)
    return Listing(
        source.resolve().stem,
        tuple(pictures),
        lambda name: read_file(source.parent / name),
        "column split" if pictures[0].role else "",
        tuple(counted({"pictures listed twice, taken once": twice})),
    )


def _rows(source: Path) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, with the numbers of their lines."""
    try:
        if source.stat().st_size > MAX_CSV_BYTES:
            raise InputError(f"{source}: more than {MAX_CSV_BYTES} bytes; split it")
        text = source.read_bytes().decode("utf-8-sig")
        header = text.lstrip().partition("\n")[0]
        separator = max(",;\t", key=header.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        return [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{source}: not a whole CSV file ({error}); repair it") from None


def _picture(where: str, row: dict[str, str]) -> Picture:
    path, label, group, split = (row.get(name, "").strip() for name in (*NEEDED, *OPTIONAL))
    if not path or not label:
        raise InputError(f"{where}: no {'label' if path else 'path'}; give each picture both")
    inside = PurePosixPath(path.replace("\\", "/"))
    if inside.is_absolute() or PureWindowsPath(path).drive or ".." in inside.parts:
        raise InputError(
            f"{where}: path: {shortened(path, 200)!r} leads outside the CSV's folder; write paths "
            "relative to it, without .."
        )
    if split and split.lower() not in SPLITS:
        raise InputError(
            f"{where}: split: {shortened(split, 50)!r}; write train, validation or test"
        )
    if "/" in group:
        raise InputError(
            f"{where}: group: {shortened(group, 50)!r} holds a slash, which divides group and "
            "label; write another sign"
        )
    if "\0" in path:
        raise InputError(f"{where}: path: holds a zero byte; repair it")
    return Picture(str(inside), label, group, SPLITS.get(split.lower(), ""))


def _said(picture: Picture) -> str:
    """Return what a row says of its picture."""
    parts = (picture.group, picture.label, picture.role)
    return "/".join(shortened(part, 50) for part in parts if part)


def _check_whole(source: Path, pictures: list[Picture]) -> None:
    """Refuse a group or a split that only some rows have."""
    for name in ("group", "role"):
        empty = [one.file for one in pictures if not getattr(one, name)]
        if 0 < len(empty) < len(pictures):
            column = "split" if name == "role" else name
            raise InputError(
                f"{source}: column {column}: empty for {len(empty)} of {len(pictures)} pictures "
                f"(the first is {empty[0]}); fill it, or leave the column out"
            )
    roles = {one.role for one in pictures}
    if "" not in roles and ("background" not in roles or len(roles) < 2):
        raise InputError(
            f"{source}: column split: no picture is for "
            f"{'training' if len(roles) > 1 or 'background' not in roles else 'anything else'}; "
            "write train, and validation or test"
        )
