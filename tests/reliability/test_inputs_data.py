"""B63 to B78: data sets that are missing, damaged, hostile or too small."""

from __future__ import annotations

import io
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.data import open_packed
from hpsearch.errors import InputError
from hpsearch.pictures.archive import MAX_MEMBERS, decode_drawing, read_files
from hpsearch.sources.download import DownloadFailed, download
from tests.support.cases import images_folder, refused, snapshot, write_study
from tests.support.command_line import run

See = Callable[[object], None]


def test_B63_folder_is_missing(here: Path, see: See) -> None:
    """exit 2, names the folder; nothing written"""
    write_study(here)
    see(refused(here, "/no/such/folder", "search", "small.yaml", "--data", "/no/such/folder"))


def drawing(mode: str = "1", side: int = 105) -> bytes:
    content = io.BytesIO()
    Image.new(mode, (side, side), 1).save(content, "PNG")
    return content.getvalue()


def zipped(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def truncated(path: Path) -> None:
    zipped(path, {f"a/b/{n}.png": drawing() for n in range(20)})
    path.write_bytes(path.read_bytes()[:-200])


def link(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("a/link.png")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")


def lying(path: Path) -> None:
    """A member that unpacks to more than its header says."""
    zipped(path, {"a/b.png": b"\0" * 3_000_000})
    content = path.read_bytes()
    true, told = struct.pack("<I", 3_000_000), struct.pack("<I", 500)
    path.write_bytes(content.replace(true, told))


ARCHIVES: dict[str, tuple[Callable[[Path], None], str]] = {
    "B64 cut off": (truncated, "damaged zip"),
    "B65 leading outside": (lambda p: zipped(p, {"../../escaped.png": drawing()}), "outside"),
    "B65 an absolute path": (lambda p: zipped(p, {"/tmp/escaped.png": drawing()}), "outside"),
    "B66 a link": (link, "link"),
    "B67 a large member": (lambda p: zipped(p, {"a.png": b"\0" * 50_000_000}), "bytes"),
    "B67 a member that lies about its size": (lying, "zip"),
    "B67 too many members": (
        lambda p: zipped(p, {f"{n}": b"" for n in range(MAX_MEMBERS + 1)}), "members",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ARCHIVES)
def test_S6_zip(tmp_path: Path, case: str, see: See) -> None:
    """refused in one line that names the archive; nothing unpacked"""
    make, named = ARCHIVES[case]
    path = tmp_path / "images_background.zip"
    make(path)
    before = snapshot(tmp_path.parent)
    with pytest.raises(InputError, match=named) as caught:
        list(read_files(path))
    assert str(path) in str(caught.value)
    assert snapshot(tmp_path.parent) == before
    see(f"exit {caught.value.exit_code}: {caught.value}")


def test_B68_a_tar_is_no_data_set(here: Path, see: See) -> None:
    """exit 2, names it; nothing unpacked"""
    write_study(here)
    with tarfile.open(here / "data.tar", "w") as archive:
        member = tarfile.TarInfo("../../escaped.png")
        archive.addfile(member, io.BytesIO())
    see(refused(here, "data.tar", "search", "small.yaml", "--data", "data.tar"))


def test_B69_a_wrong_checksum_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """refused, nothing kept under the final name"""
    source = tmp_path / "source" / "x.zip"
    source.parent.mkdir()
    source.write_bytes(b"not what was published")
    monkeypatch.delenv("HPSEARCH_OFFLINE")
    with pytest.raises(DownloadFailed, match="MD5"):
        download(
            tmp_path / "cache", address=f"{source.parent.as_uri()}/", checksums={"x.zip": "0" * 32}
        )
    assert not list((tmp_path / "cache").glob("*"))


def bomb() -> bytes:
    """A PNG of some bytes that claims 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


DRAWINGS: dict[str, bytes] = {
    "B70 cut off": drawing()[:60],
    "B71 of 0 bytes": b"",
    "B72 a text file": b"this is no image",
    "B73 a decompression bomb": bomb(),
    "B74 of another mode": drawing("RGB"),
    "B74 of another size": drawing(side=104),
}


@pytest.mark.parametrize("case", DRAWINGS)
def test_drawing(images: Path, tmp_path: Path, here: Path, case: str, see: See) -> None:
    """Omniglot's: refused by name; among own images: left out and named, unless usable"""
    with pytest.raises(InputError, match=r"^a/b\.png: "):
        decode_drawing(DRAWINGS[case], "a/b.png")
    if case.startswith("B74"):
        return  # own images may have any mode and size
    place = here / "own"
    shutil.copytree(images, place)
    (place / "character03" / "9.png").write_bytes(DRAWINGS[case])
    done = run("data", "check", "--data", place)
    (said,) = [line for line in done.out.splitlines() if "character03/9.png" in line]
    assert said.startswith("NOTE: left out, cannot be read: 1 (character03/9.png: ")
    assert done.code == 0
    see(said)


def test_B75_too_few_characters(here: Path, see: See) -> None:
    """exit 2, says how many are needed"""
    images_folder(here / "few", characters=1)
    write_study(here)
    see(refused(here, "at least two classes", "search", "small.yaml", "--data", "few"))


def test_B76_characters_with_one_drawing(here: Path, see: See) -> None:
    """exit 2, says that two are needed"""
    images_folder(here / "single", drawings=1)
    write_study(here)
    see(refused(here, "two images", "search", "small.yaml", "--data", "single"))


def test_B77_training_and_validation_share_no_character(packed: Path) -> None:
    """none in common, by construction"""
    dataset = open_packed(packed)
    train, held = dataset.background(), dataset.validation()
    assert not set(train.names) & set(held.names)
    rows = {bytes(np.ascontiguousarray(image)) for image in train.images}
    assert sum(bytes(np.ascontiguousarray(image)) in rows for image in held.images) == 0


def test_B78_data_that_cannot_be_read_any_more(packed: Path, tmp_path: Path, see: See) -> None:
    """a worker's failure names the file"""
    copy = tmp_path / "packed"
    shutil.copytree(packed, copy)
    for path in copy.glob("background*.npy"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"background\.npy") as caught:
        open_packed(copy).background(20)
    see(caught.value)
