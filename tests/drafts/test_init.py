"""`hpsearch init`: drafts from a command, a sweep and images; files it never replaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.drafts.command import proposed
from hpsearch.study.plan import StudyPlan, plan_study
from tests.support.command_line import Done, run
from tests.support.drawings import TWO_EACH, write_drawings

SCRIPT = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("-l", "--layers", type=int, default=3)
parser.add_argument("--optimiser", choices=["sgd", "adam"], default="adam")
parser.add_argument("--max-epochs", type=int, default=7)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--data", default="somewhere")
parser.add_argument("--untyped", default=3)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    return tmp_path


def planned(done: Done, name: str) -> StudyPlan:
    """Return the plan of a written study, which must be searchable as it stands."""
    assert done.code == 0, done.err
    assert f"wrote {name}.yaml and {name}-space.yaml" in done.out
    return plan_study(f"{name}.yaml", Path("r"), {})


def described(plan: StudyPlan) -> dict[str, str]:
    return {name: one.describe() for name, one in plan.space.parameters.items()}


def test_the_numbers_of_a_command_become_ranges() -> None:
    words = ["sh", "go.sh", "--lr", "0.01", "--width", "64", "--data", "x.csv", "--epochs", "9"]
    plan = planned(run("init", "--command", *words, "--bias", "true", "--seed", "3"), "go")
    assert plan.config.trainer is not None
    assert plan.config.trainer.command == (
        *("sh", "go.sh", "${args}", "--data", "x.csv", "--epochs", "${max_steps}"),
        *("--seed", "${seed}"),
    )
    assert plan.config.trainer.max_steps == 9
    assert described(plan) == {
        "lr": "0.001 to 0.1 log",
        "width": "16 to 256 log",
        "bias": "False, True",
    }
    (first,) = plan.enqueued
    assert first.params == {"lr": 0.01, "width": 64, "bias": True}
    text = Path("go.yaml").read_text() + Path("go-space.yaml").read_text()
    assert "# Tried first: what the command has now." in text
    assert "# a guess around 0.01: correct it" in text


def test_a_quoted_command_with_equals_signs_keeps_them() -> None:
    plan = planned(run("init", "--command", "./fit --rate=0.5 --deep", "--output", "a.yaml"), "a")
    assert plan.config.trainer is not None
    assert plan.config.trainer.command == ("./fit", "${args_equals}", "--deep")


def test_a_script_that_parses_arguments_is_read_and_not_run(here: Path) -> None:
    (here / "train.py").write_text(SCRIPT + "\nraise SystemExit('it ran')\n")
    plan = planned(run("init", "--command", "python", "train.py", "--lr", "0.1"), "train")
    assert plan.config.trainer is not None
    assert plan.config.trainer.command == (
        *("python", "train.py", "${args}", "--max-epochs", "${max_steps}", "--seed", "${seed}"),
    )
    assert plan.config.trainer.max_steps == 7
    assert described(plan) == {
        "lr": "0.01 to 1 log",
        "layers": "1 to 12",
        "optimiser": "sgd, adam",
    }
    assert plan.enqueued[0].params == {"lr": 0.1, "layers": 3, "optimiser": "adam"}


@pytest.mark.parametrize("script", ["def (", "\0", "x = 1\n"])
def test_a_command_without_numbers_gets_an_example(here: Path, script: str) -> None:
    (here / "train.py").write_text(script)
    done = run("init", "--command", "python train.py")
    assert "names no number to search" in done.out
    assert described(planned(done, "train")) == {"lr": "0.0001 to 0.1 log"}


@pytest.mark.parametrize(
    ("name", "value", "low", "high"),
    [
        ("lr", 0.5, 0.05, 5.0),
        ("momentum", 0.9, 0.0, 0.9),
        ("dropout", 0.95, 0.0, 0.999),
        ("beta2", 0.9995, 0.0, 1.0),
        ("weight", 0.9995, 0.0, 1.0),
        ("train_fraction", 1.0, 0.0, 1.0),
        ("mlp_ratio", 4.0, 0.4, 40.0),
        ("weight", 0.0, 0.0, 1.0),
        ("shift", -2.0, -4.0, 1.0),
        ("layers", 2, 1, 8),
        ("offset", 0, 0, 10),
        ("offset", -3, -6, 10),
    ],
)
def test_a_range_holds_the_value_it_was_made_from(
    name: str, value: float, low: float, high: float
) -> None:
    entry = proposed(name, value)
    assert (entry["low"], entry["high"]) == (low, high)
    assert low <= value <= high


def write_sweep(here: Path, **changes: Any) -> str:
    values: dict[str, Any] = {
        "program": "train.py",
        "method": "bayes",
        "metric": {"name": "accuracy", "goal": "maximize"},
        "parameters": {"x": {"min": 0.0, "max": 1.0}},
    }
    values |= changes
    (here / "sweep.yaml").write_text(dump_yaml(values))
    return "sweep.yaml"


@pytest.mark.parametrize(
    ("entry", "range_"),
    [
        ({"min": 1, "max": 9}, "1 to 9"),
        ({"min": 0.5, "max": 2}, "0.5 to 2"),
        ({"distribution": "int_uniform", "min": 1, "max": 9}, "1 to 9"),
        ({"distribution": "uniform", "min": 0, "max": 9}, "0 to 9"),
        ({"distribution": "q_uniform", "min": 10, "max": 250, "q": 16}, "16 to 256 step 16"),
        ({"distribution": "q_uniform", "min": 0, "max": 0.31, "q": 0.1}, "0 to 0.3 step 0.1"),
        ({"distribution": "log_uniform", "min": 0, "max": 2}, "1 to 7.38906 log"),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 2}, "0.135335 to 1 log"),
        ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1}, "0.0001 to 1 log"),
        ({"distribution": "inv_log_uniform_values", "min": 1e-4, "max": 1}, "0.0001 to 1 log"),
        ({"distribution": "q_log_uniform_values", "min": 2, "max": 64}, "2 to 64 log"),
        ({"distribution": "q_log_uniform_values", "min": 2, "max": 64, "q": 8}, "2 to 64 log"),
        ({"distribution": "q_log_uniform_values", "min": 1, "max": 4, "q": 0.5}, "1 to 4 log"),
        ({"distribution": "normal", "mu": 1, "sigma": 2}, "-5 to 7"),
        ({"distribution": "q_normal", "mu": 0, "sigma": 2, "q": 2}, "-6 to 6 step 2"),
        ({"distribution": "log_normal", "mu": 0, "sigma": 1}, "0.0497871 to 20.0855 log"),
        ({"distribution": "beta", "a": 2, "b": 5}, "0 to 1"),
        ({"values": ["a", True, 3, [1, 2], None]}, "a, True, 3, [1, 2], None"),
        ({"distribution": "categorical", "values": [1, 2], "probabilities": [0.1, 0.9]}, "1, 2"),
        ({"value": 5}, "5"),
        ({"distribution": "constant", "value": "adam"}, "adam"),
    ],
)
def test_the_distributions_of_a_sweep_become_ranges(
    here: Path, entry: dict[str, Any], range_: str
) -> None:
    sweep = write_sweep(here, parameters={"x": entry, "y": {"min": 0, "max": 1}})
    assert described(planned(run("init", "--from", sweep), "sweep-study"))["x"] == range_


def test_a_sweep_becomes_a_study_and_what_is_lost_is_said(here: Path) -> None:
    sweep = write_sweep(
        here,
        command=["${env}", "${interpreter}", "-u", "${program}", "${envvar:HOME}", "${args}"],
        parameters={
            "opt": {"parameters": {"lr": {"min": 0.1, "max": 0.5}, "sgd": {"values": [True]}}},
            "epochs": {"value": 12},
        },
        early_terminate={"type": "hyperband", "min_iter": 2, "eta": 2, "strict": True},
        run_cap=8,
        project="mine",
        controller={"type": "local"},
    )
    done = run("init", "--from", sweep)
    plan = planned(done, "sweep-study")
    config = plan.config
    assert config.trainer is not None
    assert config.trainer.command == ("python", "-u", "train.py", "${args_equals}")
    assert (config.trainer.max_steps, config.direction, config.measure) == (
        *(12, "maximize", "accuracy"),
    )
    assert (config.sampler.name, config.budget.trials) == ("bayes", 8)
    pruner = config.pruner
    assert (pruner.name, pruner.min_resource, pruner.reduction_factor) == ("asha", 2, 2)
    assert [*plan.space.parameters] == ["opt.lr", "opt.sgd", "epochs"]
    lost = [line.removeprefix("NOTE: ") for line in done.out.splitlines() if "NOTE" in line]
    assert [line.split(": ")[0] for line in lost] == [
        *("parameters.opt.sgd", "parameters.opt", "command", "early_terminate.strict"),
        *("controller", "the program must report its values"),
    ]
    written = Path("sweep-study.yaml").read_text()
    assert all(f"# {line}" in written for line in lost[:-1])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["${program}", "${args_no_hyphens}"], ("train.py", "x=${parameter:x}")),
        (["${program}", "${args_json}"], ("train.py", "${args_json}")),
        (["${program}", "${args_json_file}"], ("train.py",)),
        (["${program}", "${args_no_boolean_flags}"], ("train.py", "${args_equals}")),
        ("${interpreter} -m pkg", ("python", "-m", "pkg")),
    ],
)
def test_the_macros_of_a_sweep(here: Path, command: Any, words: tuple[str, ...]) -> None:
    done = run("init", "--from", write_sweep(here, command=command))
    trainer = planned(done, "sweep-study").config.trainer
    assert trainer is not None
    assert trainer.command == words


def test_brackets_from_the_longest_run(here: Path) -> None:
    early = {"type": "hyperband", "max_iter": 27, "s": 2}
    plan = planned(run("init", "--from", write_sweep(here, early_terminate=early)), "sweep-study")
    assert plan.config.trainer is not None
    assert (plan.config.pruner.min_resource, plan.config.trainer.max_steps) == (3, 27)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"parameters": None}, "parameters: is missing"),
        ({"parameters": [1]}, "parameters: must be KEY: VALUE lines"),
        ({"parameters": {"x": 3}}, "parameters.x: must have min and max"),
        ({"parameters": {"x": {"min": 1}}}, "parameters.x: max is missing"),
        ({"parameters": {"x": {"min": 2, "max": 1}}}, "low 2 is above high 1"),
        ({"parameters": {"x": {"values": "abc"}}}, "values must be a list"),
        ({"parameters": {"x": {"min": "a", "max": 1}}}, "parameters.x: could not convert"),
        ({"parameters": {"a b": {"value": 1}}}, "parameters.a b: a name has letters"),
        ({"parameters": {"x": {"distribution": "zipf", "min": 1, "max": 2}}}, "'zipf' is unknown"),
        ({"parameters": {"x": {"distribution": "log_uniform", "min": 1, "max": 999}}}, "range"),
        ({"method": "magic"}, "method: 'magic': known: bayes, random, grid"),
        ({"metric": {"goal": "up"}}, "metric.goal: must be minimize or maximize"),
        ({"metric": "loss"}, "metric: must be KEY: VALUE lines"),
        ({"early_terminate": {"type": "envelope"}}, "early_terminate.type: 'envelope'"),
        ({"early_terminate": {"type": "hyperband"}}, "early_terminate: needs min_iter"),
        ({"early_terminate": {"min_iter": "two"}}, "early_terminate.min_iter: must be a number"),
        ({"program": None}, "program: is missing; the command asks"),
        ({"command": []}, "command: must be a list of words"),
        ({"command": ["${env}"]}, "command: names no program"),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_line(
    here: Path, changes: dict[str, Any], why: str
) -> None:
    done = run("init", "--from", write_sweep(here, **changes))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert why in done.err
    assert [path.name for path in here.iterdir()] == ["sweep.yaml"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "name one of --data FOLDER"),
        (["--from", "b", "--command", "a"], "name one of --data FOLDER"),
        (["python", "train.py"], "name one of --data FOLDER"),
        (["--command", "a 'b"], "No closing quotation"),
        (["--command", ""], "names no program"),
        (["--output", "x.txt", "--command", "sh"], "ends in .yaml"),
    ],
)
def test_what_cannot_be_begun_is_refused(here: Path, words: list[str], why: str) -> None:
    done = run("init", *words)
    assert (done.code, why in done.err) == (2, True), done.err
    assert list(here.iterdir()) == []


def test_no_file_is_replaced_without_being_told(here: Path) -> None:
    (here / "go-space.yaml").write_text("mine\n")
    words = ("--command", "sh", "go.sh", "--x", "1")
    done = run("init", *words)
    assert done.code == 2
    assert "go-space.yaml: is there; name another --output, or replace it with --force" in done.err
    assert [path.name for path in here.iterdir()] == ["go-space.yaml"]
    assert run("init", "--force", *words).code == 0
    assert read_yaml(here / "go-space.yaml")["name"] == "go"


def test_a_folder_of_images_becomes_a_study_of_its_own(here: Path) -> None:
    write_drawings(here / "signs", TWO_EACH)
    done = run("init", "--data", "signs")
    plan = planned(done, "signs")
    assert (plan.config.name, plan.config.dataset) == ("signs", "folder")
    shipped = plan_study("own", Path("other"), {})
    assert plan.space.parameters == shipped.space.parameters
    assert plan.config.trial == shipped.config.trial
    text = (here / "signs.yaml").read_text()
    assert "# Ends trials early that fall behind.\npruner:" in text
    assert "next: hpsearch search signs.yaml --data signs" in done.out
    assert run("init", "--data", "nowhere").code == 2


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (
            ["--command", "./fit", "--lr", "0.1", "--data", "x"],
            ("./fit", "${args}", "--data", "x"),
        ),
        (["--command=./fit", "-v", "--lr", "0.1"], ("./fit", "-v", "${args}")),
        (["--command", "--", "sh", "fit", "--lr", "1"], ("sh", "fit", "${args}")),
        (["--command", "env", "--", "fit", "--lr", "1"], ("env", "--", "fit", "${args}")),
        (["--command", "fit", "x", "${args_json}", "--lr", "1"], ("fit", "x", "${args_json}")),
    ],
)
def test_what_follows_the_program_is_its_own(typed: list[str], words: tuple[str, ...]) -> None:
    plan = planned(run("init", "--output", "a.yaml", *typed), "a")
    assert plan.config.trainer is not None
    assert plan.config.trainer.command == words


@pytest.mark.parametrize("word", ["?x", ": x", "#", "[", "no", "two\nlines"])
def test_any_word_of_a_command_is_written_as_it_is(word: str) -> None:
    plan = planned(run("init", "--command", "sh", "go.sh", word, "--lr", "1"), "go")
    assert plan.config.trainer is not None
    assert plan.config.trainer.command == ("sh", "go.sh", word, "${args}")


def test_a_command_runs_where_it_was_typed(here: Path) -> None:
    assert run("init", "--output", "sub/a.yaml", "--command", "sh", "go.sh", "--lr", "1").code == 0
    plan = plan_study("sub/a.yaml", Path("r"), {})
    assert plan.config.trainer is not None
    assert plan.config.trainer.directory == str(here)


def test_an_option_without_a_usable_range_is_left_out_and_told(here: Path) -> None:
    odd = "parser.add_argument('--opt', choices=['a', 'a'])\n"
    (here / "train.py").write_text(SCRIPT + odd)
    done = run("init", "--command", "python", "train.py")
    assert "opt" not in described(planned(done, "train"))
    assert "--opt: " in done.out
    assert "'a' is there twice" in done.out
    assert "--lr: high: must be a finite number" in run("init", "--command", "x --lr 1e308").err


@pytest.mark.parametrize("text", [None, "print 'x'\n", "\0"])
def test_a_script_that_cannot_be_read_is_told(here: Path, text: str | None) -> None:
    if text is not None:
        (here / "old.py").write_text(text)
    assert "NOTE: old.py: cannot be read" in run("init", "--command", "python", "old.py").out


def test_a_folder_in_the_way_leaves_no_half_of_a_draft(here: Path) -> None:
    (here / "a.yaml").mkdir()
    done = run("init", "--force", "--output", "a.yaml", "--command", "sh", "go.sh", "--lr", "1")
    assert (done.code, "a.yaml: is a folder" in done.err) == (2, True)
    assert not (here / "a-space.yaml").exists()


def test_a_sweeps_choices_keep_1_apart_from_true(here: Path) -> None:
    values = {"program": "train.py", "parameters": {"p": {"values": [1, True]}}}
    (here / "s.yaml").write_text(dump_yaml(values))
    assert "True is there twice" in run("init", "--from", "s.yaml").err
