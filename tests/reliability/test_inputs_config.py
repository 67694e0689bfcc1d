"""B01 to B33: a study file or a search space that cannot be used is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cases import SPACE, STUDY, as_nobody, refused, write_study
from tests.support.command_line import run

See = Callable[[object], None]

BOMB = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(9))
FILES: dict[str, tuple[bytes | str, str]] = {
    "B04 empty": ("", "top level"),
    "B05 a list at the top": ("- name: small\n", "list"),
    "B06 binary": (bytes(range(128, 256)) * 4, "UTF-8"),
    "B07 UTF-16": (STUDY.encode("utf-16"), "UTF-8"),
    "B09 indented by a tab": (STUDY.replace("  input_size", "\tinput_size"), "line 5"),
    "B10 two documents": (STUDY + "---\nname: other\n", "second document"),
    "B11 a key twice": (STUDY + "seed: 1\nseed: 2\n", "seed"),
    "B12 python object": (STUDY + "x: !!python/object/apply:os.system [id]\n", "tags"),
    "B13 bomb of aliases": (STUDY + BOMB, "alias"),
    "B14 nested 3,000 deep": (STUDY + "x: " + "[" * 3000 + "]" * 3000, "nested"),
    "B15 more than 1 MB": (STUDY + "#" * 1_100_000, "bytes"),
    "B16 unknown key": (STUDY.replace("trial:", "trail:"), "did you mean 'trial'"),
    "B18 no where a number is due": (
        STUDY.replace("max_epochs: 3", "max_epochs: no"), "max_epochs",
    ),
    "B18 1:30 where a number is due": (
        STUDY.replace("max_epochs: 3", "max_epochs: 1:30"), "max_epochs",
    ),
    "B20 NUL byte": (STUDY.replace("small", "sm\0all"), "small.yaml"),
    "B41 another direction": (STUDY + "direction: maximize\n", "direction"),
    "B42 another metric": (STUDY + "metric: accuracy\n", "metric"),
    "B45 name of 600 characters": (STUDY.replace("name: small", "name: " + "n" * 600), "name"),
    "B45 name with half a pair": (STUDY.replace("name: small", 'name: "a\\uD800"'), "small.yaml"),
    "B45 name with an escape": (STUDY.replace("name: small", 'name: "a\\e[31m"'), "small.yaml"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_study_file(here: Path, case: str, see: See) -> None:
    """exit 2, one line that names file and key; nothing written"""
    content, named = FILES[case]
    path = write_study(here)
    path.write_bytes(
        content.encode(errors="surrogatepass") if isinstance(content, str) else content
    )
    line = refused(here, named, "search", path)
    assert "small.yaml" in line
    see(line)


def test_B01_study_file_is_missing(here: Path, see: See) -> None:
    """exit 2, names the file; nothing written"""
    see(refused(here, "absent.yaml", "search", "absent.yaml"))


def test_B02_study_file_is_a_folder(here: Path, see: See) -> None:
    """exit 2, names the folder; nothing written"""
    (here / "folder.yaml").mkdir()
    see(refused(here, "folder.yaml", "search", "folder.yaml"))


def test_B03_study_file_is_unreadable(here: Path, see: See) -> None:
    """exit 2, names the file; nothing written"""
    path = write_study(here)
    path.chmod(0)
    with as_nobody(here):
        done = run("search", path)
    assert done.code == 2
    assert "small.yaml: cannot be read" in done.err
    see(f"exit {done.code}: {done.err}")


ACCEPTED = {
    "B08 a byte order mark": (b"\xef\xbb\xbf" + STUDY.encode(), SPACE),
    "B17 1e-3 is a number": (STUDY.encode(), SPACE),
    "B18 010 is ten": (STUDY.replace("max_epochs: 3", "max_epochs: 010").encode(), SPACE),
    "B22 low equals high": (STUDY.encode(), SPACE.replace("low: 4, high: 16", "low: 8, high: 8")),
    "B45 name with a tag": (STUDY.replace("small", "<script>").encode(), SPACE),
    "B45 name that is a path": (STUDY.replace("small", "../x").encode(), SPACE),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(here: Path, case: str, see: See) -> None:
    """accepted, exit 0; a range of one value with a note"""
    study, space = ACCEPTED[case]
    write_study(here, space=space).write_bytes(study)
    done = run("search", "small.yaml", "--dry-run")
    assert done.code == 0, done
    assert ("NOTE: fc.width: only one value" in done.out) == case.startswith("B22")
    assert sorted(p.name for p in here.iterdir()) == ["small.yaml", "space.yaml"]
    see(done.out.splitlines()[0])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["pruner.name=asha", "budget.trials=3"], "before there are 4, but budget.trials is 3"),
        (["pruner.name=asha", "budget.trials=4"], None),
        (["pruner.name=median", "pruner.min_resource=3"], "3 is not below trial.max_epochs 3"),
    ],
)
def test_a_pruner_that_can_end_nothing_is_told(
    here: Path, settings: list[str], said: str | None
) -> None:
    write_study(here)
    given = [word for setting in settings for word in ("--set", setting)]
    done = run("search", "small.yaml", "--dry-run", *given)
    assert done.code == 0, done
    notes = [line for line in done.out.splitlines() if line.startswith("NOTE: pruner")]
    assert len(notes) == (said is not None)
    assert said is None or said in notes[0]


def parameter(text: str) -> str:
    return SPACE.replace("{type: int, low: 4, high: 16}", text)


SPACES: dict[str, tuple[str, str]] = {
    "B19 a bound that is no number": (parameter("{type: int, low: .nan, high: 16}"), "fc.width"),
    "B19 an infinite bound": (parameter("{type: float, low: 4, high: .inf}"), "fc.width"),
    "B21 low above high": (parameter("{type: int, low: 16, high: 4}"), "exchange"),
    "B23 log from 0": (SPACE.replace("low: 1e-3", "low: 0"), "above 0"),
    "B24 step 0": (parameter("{type: int, low: 4, high: 16, step: 0}"), "step"),
    "B25 step beyond the range": (parameter("{type: int, low: 4, high: 16, step: 40}"), "step"),
    "B26 no choices": (SPACE.replace("[he, koch]", "[]"), "choices"),
    "B27 a choice twice": (SPACE.replace("[he, koch]", "[he, he]"), "twice"),
    "B28 a nested choice": (SPACE.replace("[he, koch]", "[[he], koch]"), "choice"),
    "B28 null as a choice": (SPACE.replace("[he, koch]", "[he, null]"), "choice"),
    "B29 log and step": (
        SPACE.replace("log: true", "log: true, step: 0.001"), "log and step",
    ),
    "B30 unknown distribution": (parameter("{type: gamma, low: 4, high: 16}"), "type"),
    "B31 empty name": (SPACE.replace("fc.width", '""'), "name"),
    "B31 name of 600 characters": (SPACE.replace("fc.width", "n" * 600), "name"),
    "B31 name with a new line": (SPACE.replace("fc.width", '"fc\\nwidth"'), "name"),
    "B32 unknown hyperparameter": (SPACE.replace("fc.width", "fc.widht"), "fc.width"),
    "B33 a bound of 1e30": (parameter("{type: int, low: 4, high: 1e30}"), "too large"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPACES)
def test_search_space(here: Path, case: str, see: See) -> None:
    """exit 2, one line that names space and parameter; nothing written"""
    space, named = SPACES[case]
    write_study(here, space=space)
    line = refused(here, named, "search", "small.yaml")
    assert "space" in line
    see(line)
