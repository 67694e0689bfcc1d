"""What users ask of a study: taken at the next start, refused where it is wrong, done once."""

from __future__ import annotations

import os
from typing import Any

import pytest

from hpsearch.app.requests import enqueue
from hpsearch.app.study import Study
from hpsearch.driver.requests import Request, Requests, ask, waiting
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.records import dump_record
from hpsearch.study.plan import plan_study
from hpsearch.trial import TrialRecord
from tests.support.command_line import run
from tests.support.programs import write_command_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of two finished trials, at rest."""
    root = tmp_path_factory.mktemp("requests")
    study = write_command_study(root, budget={"trials": 2}, trainer__max_steps=1)
    assert run("search", study, "--output", root / "r").code == 0
    return StudyFolder(root / "r")


class Reader:
    """Reads the requests of a folder as its driver does, and keeps what it says."""

    def __init__(self, folder: StudyFolder, history: list[TrialRecord]) -> None:
        self.said: list[str] = []
        self.history = history
        self.requests = Requests(plan_study(str(folder.root), None, {}), self.said.append)
        self.requests.look(history)


@pytest.fixture
def history(folder: StudyFolder) -> list[TrialRecord]:
    return list(Study(folder.root).trials)


def test_a_request_waits_for_the_next_search(folder: StudyFolder) -> None:
    done = run("enqueue", folder.root, "x=0.125", "kind=b")
    assert (done.code, done.out) == (0, "x 0.125, kind b: no search runs here: the next one does "
                                        "it\n")  # fmt: skip
    assert len(waiting(folder)) == 1
    spent = run("search", folder.root)
    assert "NOTE: 1 request left: search on with a larger budget" in spent.out
    more = run("search", folder.root, "--trials", "3")
    assert "trial 2 was asked for while the study ran" in more.out
    trial = Study(folder.root).trials[2]
    assert (trial.state, trial.params) == ("complete", {"x": 0.125, "kind": "b"})
    assert waiting(folder) == []
    assert run("verify", folder.root).code == 0
    assert run("doctor", folder.root).code == 0


def test_drivers_that_share_a_folder_try_a_request_once(folder: StudyFolder) -> None:
    assert run("enqueue", folder.root, "x=0.0625", "kind=a").code == 0
    one, other = Reader(folder, []), Reader(folder, [])
    asked = one.requests.next([])
    assert asked is not None
    assert asked == other.requests.next([])
    trial = TrialRecord(0, "running", asked)
    one.requests.adopted(0)  # the number is taken, so the other driver looks at the trial first
    assert other.requests.next([trial]) is None
    assert other.said == ["a request is trial 0 already"]
    assert waiting(folder) == []


@pytest.mark.parametrize(
    ("params", "asked"),
    [
        (["x=0.5"], {"x": 0.5, "kind": "b"}),
        (['{"x": 7, "kind": "a"}'], {"x": 1.0, "kind": "a"}),
        (["kind=a"], {"x": 0.5, "kind": "a"}),
    ],
)
def test_what_is_left_out_is_in_the_middle(
    folder: StudyFolder, params: list[str], asked: dict[str, Any]
) -> None:
    assert run("enqueue", folder.root, *params).code == 0
    (path,) = waiting(folder)
    reader = Reader(folder, [])
    assert reader.requests.next([]) == asked
    path.unlink()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["enqueue", "y=1"], "y: not a parameter of this space"),
        (["enqueue", "kind=c"], "'c' is none of its choices"),
        (["enqueue", "x=high"], "'high' is no number"),
        (["enqueue", "x"], "write NAME=VALUE"),
        (["enqueue", "lr=1", "lr=2"], "lr is there twice"),
        (["enqueue", "{x: [}"], "not valid YAML"),
        (["stop", "0"], "trial 0 has ended: complete"),
        (["stop", "99"], "there is no trial 99"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    folder: StudyFolder, words: list[str], why: str
) -> None:
    done = run(words[0], folder.root, *words[1:])
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert why in done.err
    assert waiting(folder) == []


def test_a_configuration_is_tried_once(folder: StudyFolder, history: list[TrialRecord]) -> None:
    with pytest.raises(InputError, match="trial 1 is this configuration already"):
        enqueue(folder, history[1].params)
    ask(folder, Request(enqueue=dict(history[1].params)))  # as a driver finds what it adopted
    reader = Reader(folder, history)
    assert reader.requests.next(history) is None
    assert reader.said == ["a request is trial 1 already"]
    assert waiting(folder) == []


def test_requests_are_adopted_in_their_order_and_once(folder: StudyFolder) -> None:
    for x in (0.3, 0.2):
        ask(folder, Request(enqueue={"x": x}))
    reader = Reader(folder, [])
    first = reader.requests.next([])
    assert first is not None
    assert first == reader.requests.next([]) == {"x": 0.3, "kind": "b"}
    reader.requests.adopted(0)
    assert len(waiting(folder)) == 1
    second = Reader(folder, []).requests.next([])
    assert second is not None
    assert second["x"] == 0.2
    waiting(folder)[0].unlink()


def test_a_running_trial_is_asked_to_stop_until_it_has_ended(folder: StudyFolder) -> None:
    running = [TrialRecord(0, "running", {"x": 0.1, "kind": "a"})]
    ask(folder, Request(stop=0))
    for _ in range(2):  # a driver that is started again finds it again
        reader = Reader(folder, running)
        assert (reader.requests.to_stop(), reader.requests.stops(0)) == ([0], True)
    reader.requests.ended(0)
    assert (reader.requests.to_stop(), waiting(folder)) == ([], [])
    assert reader.said == ["trial 0 is to stop: it ends after its next report"]


def test_a_trial_that_has_ended_meanwhile_is_said(
    folder: StudyFolder, history: list[TrialRecord]
) -> None:
    ask(folder, Request(stop=1))
    reader = Reader(folder, history)
    assert reader.said == ["trial 1 was to be stopped and has ended: complete"]
    assert waiting(folder) == []


GOOD = dump_record({"enqueue": {"x": 0.7}})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "x: 1",
        '{"enqueue": {"x": 0.7}, "stop": 1}',
        '{"stop": -1}',
        '{"stop": true}',
        '{"stop": "1"}',
        '{"stop": 99}',
        '{"enqueue": [1]}',
        '{"enqueue": {"x": NaN}}',
        '{"enqueue": {"x": {"a": 1}}}',
        '{"enqueue": {"nope": 1}}',
        '{"enqueue": {"' + "x" * 10**5 + '": 1}}',
        '{"enqueue": ' + '{"a":' * 50 + "1" + "}" * 50 + "}",
        GOOD.replace("0.7", "0.8"),
    ],
)
def test_a_request_that_is_none_is_set_aside(
    folder: StudyFolder, history: list[TrialRecord], content: str
) -> None:
    folder.requests.mkdir(exist_ok=True)
    path = folder.requests / "foreign.json"
    path.write_text(content)
    reader = Reader(folder, history)
    assert reader.requests.next(history) is None
    (said,) = reader.said
    assert said.startswith("a request is refused and left as foreign.json.damaged")
    assert len(said) <= 500
    assert not path.exists()
    for left in folder.requests.iterdir():
        left.unlink()


def test_a_link_and_a_pipe_are_set_aside(folder: StudyFolder, history: list[TrialRecord]) -> None:
    folder.requests.mkdir(exist_ok=True)
    os.mkfifo(folder.requests / "a.json")
    (folder.requests / "b.json").symlink_to(folder.requests / "b.json")
    reader = Reader(folder, history)
    assert [line.split(":")[0] for line in reader.said] == [
        f"a request is refused and left as {name}.json.damaged" for name in "ab"
    ]
    for left in folder.requests.iterdir():
        left.unlink()
