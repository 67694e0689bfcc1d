"""F02, F03, F07, F08: the driver killed before its N-th write, and its N-th write failing."""

from __future__ import annotations

import errno
import itertools
import os
import resource
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from hpsearch.errors import EnvironmentFailure, HpsearchError
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.report import page as report_page
from hpsearch.results.export import export_best
from hpsearch.storage.view import read_study
from hpsearch.training.checkpoint import Checkpoint, load, save
from tests.support.cases import ENQUEUED, in_child, search, table
from tests.support.command_line import run

from .faults import LONG, STRIDE, Act, Dying, Failing, Kind, on_write

pytestmark = pytest.mark.timeout(3600 if LONG else 900)
See = Callable[[object], None]
SETTINGS = {"enqueue": ENQUEUED[:3], "budget__trials": 3, "trial__max_epochs": 2}
NUMBERS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EACCES", "EROFS")}
HARMLESS = 4
"""Exit code of a child that needed not the write which failed."""


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """The table of a search that nobody disturbed."""
    return table(search(tmp_path_factory.mktemp("straight") / "study", **SETTINGS))


def checkpoint(epoch: int) -> Checkpoint:
    return Checkpoint({"weights.x": torch.full((9,), float(epoch))}, {"epoch": epoch, "curve": []})


def disturbed(output: Path, act: Act) -> int:
    """Search in a child whose writes are acted upon; return its exit code."""

    def child() -> None:
        on_write(output, act)
        try:
            search(output, **SETTINGS)
        except HpsearchError as error:
            os._exit(error.exit_code)
        except OSError:  # the command line makes it exit 3
            os._exit(EnvironmentFailure.exit_code)
        os._exit(HARMLESS if act.fired else 0)

    return in_child(child)


def assert_survives(output: Path, straight: list[tuple[object, ...]]) -> None:
    """Whatever is there is sound, and the same command ends with the same trials."""
    folder = StudyFolder(output)
    before: list[object] = []
    if folder.database.exists() and folder.study_file.exists() and readable(folder):
        broken = [v for v in check_invariants(folder) if v.standing == "broken"]
        assert broken == [], broken
        before = [row for row in table(read_study(folder)) if row[1] == "complete"]
    after = table(search(output, **SETTINGS))
    assert after == straight
    assert [row for row in after if row in before] == before
    assert {v.standing for v in check_invariants(folder)} == {"holds"}


def readable(folder: StudyFolder) -> bool:
    """Say whether the database has its tables and the study yet."""
    try:
        read_study(folder)
    except HpsearchError:
        return False
    return True


def every_nth(
    tmp_path: Path, straight: list[tuple[object, ...]], first: int, act: Callable[[int], Act],
    codes: set[int],
) -> int:  # fmt: skip
    """Disturb writes in steps from `first`, or each one, until none is left; return how many."""
    for done, nth in enumerate(itertools.count(1 if LONG else first, STRIDE)):
        output = tmp_path / str(nth) / "study"
        code = disturbed(output, act(nth))
        if code == 0:
            assert done > 2
            return done
        assert code in codes | {HARMLESS}, f"write {nth}: exit code {code}"
        assert_survives(output, straight)
    raise AssertionError


@pytest.mark.slow
def test_F02_F03_killed_before_the_nth_write(
    tmp_path: Path, straight: list[tuple[object, ...]], see: See
) -> None:
    """no acknowledged result is lost; the same command ends with the same trials"""
    count = every_nth(tmp_path, straight, 4, Dying, {-9})
    see(f"{count} kills, each survived")


@pytest.mark.slow
def test_F02_killed_while_the_database_is_made(
    tmp_path: Path, straight: list[tuple[object, ...]]
) -> None:
    """SQLite leaves a file of 0 bytes; nothing is in it, so the same command goes on"""
    for nth in range(10, 40):
        folder = StudyFolder(tmp_path / str(nth) / "study")
        disturbed(folder.root, Dying(nth))
        if folder.database.exists() and folder.database.stat().st_size == 0:
            break
    assert folder.database.stat().st_size == 0
    assert table(search(folder.root, **SETTINGS)) == straight


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "lasting", "first"),
    [
        (errno.ENOSPC, True, 1),
        (errno.ENOSPC, False, 3),
        (errno.EIO, False, 5),
        (errno.EACCES, True, 7),
    ],
    ids=["ENOSPC-from-there-on", "ENOSPC", "EIO", "EACCES-from-there-on"],
)
def test_F07_F08_the_nth_write_fails(
    tmp_path: Path, straight: list[tuple[object, ...]], see: See, number: int, lasting: bool,
    first: int,
) -> None:  # fmt: skip
    """exit 3, results kept, the same command ends with the same trials"""
    count = every_nth(tmp_path, straight, first, lambda nth: Failing(nth, number, lasting), {3})
    see(f"{count} writes failed, each with exit 3 and survived")


def export(output: Path, other: Path, act: Act) -> None:
    """Export in a child whose writes are acted upon."""

    def file_only(count: int, kind: Kind) -> None:  # an export only reads the database
        if kind == "file":
            act(count, kind)

    on_write(other.parent, file_only)
    os._exit(run("export", output, "--output", other).code)


@pytest.mark.slow
def test_F02_F07_export_killed_or_failing_leaves_the_old_file_or_the_new(
    tmp_path: Path, see: See
) -> None:
    """best.yaml is absent, old or whole; nothing half-written"""
    output = tmp_path / "study"
    search(output, **SETTINGS)
    folder, other = StudyFolder(output), tmp_path / "best.yaml"
    whole = export_best(folder, None, None).path.read_text()
    acts: list[Callable[[int], Act]] = [Dying, lambda nth: Failing(nth, errno.ENOSPC, True)]
    count = 0
    for act, nth in itertools.product(acts, range(1, 14)):
        other.unlink(missing_ok=True)

        code = in_child(partial(export, output, other, act(nth)))
        assert code in (0, -9, 3), code
        count += code != 0
        assert (
            not other.exists()
            or other.read_text().split("created")[0] == whole.split("created")[0]
        )
    assert count > 2
    see(f"{count} disturbed exports, none half-written")


def report(output: Path, other: Path, page: str, act: Act) -> None:
    """Write a report, whose page is made already, in a child whose writes are acted upon."""
    files = itertools.count(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_page, "read_facts", lambda *_: None)
        patch.setattr(report_page, "render", lambda _: page)
        on_write(other.parent, lambda _, kind: act(next(files), kind) if kind == "file" else None)
        os._exit(run("report", output, "--output", other).code)


@pytest.mark.slow
def test_F02_F07_F08_report_killed_or_failing_leaves_the_old_file_or_the_new(
    tmp_path: Path, see: See
) -> None:
    """report.html is old or whole, exit 3 where a write fails; nothing half-written"""
    output, other = tmp_path / "study", tmp_path / "page" / "report.html"
    search(output, **SETTINGS)
    assert run("report", output, "--output", other).code == 0
    old, new = other.read_text(), "<p>" + "new " * 50_000
    assert "</html>" in old
    fails = [lambda nth, number=number: Failing(nth, number, True) for number in NUMBERS.values()]
    acts: list[Callable[[int], Act]] = [Dying, *fails]
    ends = Counter[int]()
    for act in acts:
        for nth in itertools.count(1):
            other.write_text(old)
            code = in_child(partial(report, output, other, new, act(nth)))
            ends[code] += 1
            assert other.read_text() == new if code == 0 else other.read_text() in (old, new)
            if code == 0:
                break
            assert code == (-9 if act is Dying else 3)
            assert nth < 20
    assert ends[0] == len(acts)
    assert ends[-9] >= 4
    assert ends[3] >= 4 * len(NUMBERS)
    see(f"{ends[-9]} kills, {ends[3]} failures, none half-written")


def save_in_child(path: Path, act: Act) -> int:
    """Save a checkpoint in a child whose writes are acted upon; return its exit code."""

    def child() -> None:
        on_write(path.parent, act)
        try:
            save(checkpoint(3), path)
        except EnvironmentFailure as error:
            os._exit(error.exit_code if str(path.parent) in str(error) else 1)
        os._exit(HARMLESS if act.fired else 0)

    return in_child(child)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from there on"])
@pytest.mark.parametrize("name", NUMBERS)
def test_F07_F08_the_nth_write_of_a_checkpoint_fails(
    tmp_path: Path, name: str, lasting: bool, see: See
) -> None:
    """one error that names the file; the checkpoint is the old one or the new one, whole"""
    failed = 0
    for nth in itertools.count(1):
        path = tmp_path / str(nth) / "checkpoint"
        for epoch in (1, 2):
            save(checkpoint(epoch), path)
        code = save_in_child(path, Failing(nth, NUMBERS[name], lasting))
        found = load(path)
        assert found is not None
        assert found.state["epoch"] in ((2, 3) if code == 3 else (3,))
        save(checkpoint(4), path)
        again = load(path)
        assert again is not None
        assert again.state["epoch"] == 4
        names = {p.name for p in path.parent.iterdir()}
        left = {
            name for name in names if lasting and name.endswith(".tmp")
        }  # swept by the next run
        assert names - left == {"checkpoint", "checkpoint.previous"}
        if code == 0:
            break
        assert code in (3, HARMLESS), f"write {nth}: exit code {code}"
        failed += code == 3
    assert failed >= 5
    see(f"{failed} writes failed, each with one error and survived")


@pytest.mark.parametrize("limit", [20_000, 60_000, 100_000])
def test_F07_a_real_limit_on_file_sizes(
    tmp_path: Path, straight: list[tuple[object, ...]], limit: int
) -> None:
    """exit 3 where the database may not grow; once it may, the same command ends it"""
    output = tmp_path / "study"

    def child() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            search(output, **SETTINGS)
        except HpsearchError as error:
            os._exit(error.exit_code)
        except OSError:
            os._exit(EnvironmentFailure.exit_code)

    assert in_child(child) == 3
    assert_survives(output, straight)
