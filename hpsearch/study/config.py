"""The study file: what is searched, on which data, how, and for how long."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hpsearch.configfile import Section, dump_yaml, load_section, read_yaml
from hpsearch.data.dataset import READERS, Kind, Pictures, Reading
from hpsearch.errors import InputError
from hpsearch.extensions import check_installed
from hpsearch.front import Bound, Goals
from hpsearch.measure import VALIDATION_ERROR, Measure
from hpsearch.pruners.config import PrunerConfig
from hpsearch.samplers.config import SamplerConfig
from hpsearch.space.limits import Limits
from hpsearch.space.resource import Resource
from hpsearch.study.objectives import NamedObjective, goals_of
from hpsearch.study.storage_url import check_storage
from hpsearch.trainers.command import CommandTrainer, CommandTrial
from hpsearch.trainers.recipe import Recipe
from hpsearch.training.config import Objective, TrialConfig

OF_THE_NETWORK: dict[str, Any] = {
    "trial": None,
    "dataset": "auto",
    "pictures": "auto",
    "objective": "tasks_320",
    "ways": None,
    "shots": 1,
    "limits": Limits(),
}
"""Settings that only the siamese trainer has, and their defaults."""
OF_A_COMMAND = {"direction": "minimize", "measure": "value"}
"""Settings that only a command has, and their defaults."""
OF_SEVERAL = ("objectives", "constraints")
"""Settings that a study of one objective does not write, as in versions that had no other."""
NAMED = ("paper", "reference", "encoder")
"""Configurations that an enqueued entry may name."""
ENTRY_KEYS = ("config", "params", "replicate")
"""Keys of an enqueued entry that is written in full."""


class Budget(Section):
    """Limits of a study; the first one reached ends it. Running trials are finished."""

    trials: int | None = Field(None, ge=1, le=1_000_000)
    """Finished trials (complete, pruned, finally failed) over all runs of the study."""
    hours: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Driver hours, summed over all runs and all drivers."""
    compute: Annotated[float, Field(gt=0)] | None = None
    """Multiply-adds of training, summed over all trials."""
    stop_when: Literal["no expected gain"] | None = None
    """no expected gain: with a probability of 90 % the rest of the budget improves the best
    validation error by less than its standard error. Needs one of the limits above."""

    @property
    def limited(self) -> bool:
        """Whether a limit is certain to end the study."""
        return any(v is not None for v in (self.trials, self.hours, self.compute))


class WarmStart(Section):
    """Another study that the sampler learns from. Its trials do not become trials of this one."""

    study: Annotated[str, Field(min_length=1, max_length=1000)]
    """The other study's folder. What it teaches is copied when this study starts."""

    @model_validator(mode="before")
    @classmethod
    def _without_fading(cls, values: Any) -> Any:
        """Leave out `fades_after`, which earlier versions wrote."""
        if not isinstance(values, dict):
            return values
        return {key: value for key, value in values.items() if key != "fades_after"}


class EnqueuedEntry(Section):
    """One configuration to try first. A study file may use a shorter form."""

    config: Annotated[str, Field(min_length=1, max_length=1000)] = "reference"
    """`paper`, `reference` (the study's own `trial` section), `encoder` (the best start, not
    trained: chosen on the validation tasks when the study starts), or a file that `export` wrote.
    """
    params: dict[str, Any] = Field(default_factory=dict)
    """Parameters by path that replace those of `config`."""
    replicate: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """A name under which the same configuration is tried again, with another seed."""

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, entry: Any) -> Any:
        """Read a name or file alone, and parameters alone."""
        if isinstance(entry, str):
            return {"config": entry}
        if isinstance(entry, dict) and not any(key in entry for key in ENTRY_KEYS):
            return {"params": entry}
        return entry

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        name = self.config
        if name not in NAMED and not name.endswith((".yaml", ".yml")):
            raise ValueError(f"{name!r}: write {', '.join(NAMED)}, or a file such as best.yaml")
        return self


def by_path(values: Any) -> Any:
    """Return {conv1: {momentum: 0.9}} as {conv1.momentum: 0.9}, what is no mapping as it is."""
    if not isinstance(values, dict):
        return values
    flat: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, dict)
        flat |= {f"{name}.{k}": v for k, v in by_path(value).items()} if nested else {name: value}
    return flat


class Resources(Section):
    """The resources of one trial. `workers` sets how many trials run at the same time."""

    cpu: float | None = Field(None, gt=0, le=1024)
    """Cores of one trial; by default 1 on Ray, and locally all cores shared among the workers."""
    gpu: float | None = Field(None, ge=0, le=64)
    """GPUs of one trial, e.g. 0.5 for two trials on one; by default 1 on Ray with CUDA, and
    locally as many trials share a GPU as its memory holds, at most 4, if their steps are small."""


def _named_trainer(value: Any) -> Any:
    """Read `siamese`, the trainer that has no section."""
    if value == "siamese":
        return None
    if value is not None and not isinstance(value, dict | CommandTrainer):
        raise ValueError("write siamese, or {command: [PROGRAM, ...], max_steps: N}")
    return value


class StudyConfig(Section):
    """A study file."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    """Name shown in the dashboard."""
    description: str = ""
    """What the study is for."""
    trainer: Annotated[CommandTrainer | None, BeforeValidator(_named_trainer)] = None
    """What trains a trial: `siamese`, the default, or a program ([commands](trainer.md))."""
    direction: Literal["minimize", "maximize"] = "minimize"
    """With a command: whether its value shall become small or large."""
    measure: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")] = (
        "value"
    )
    """With a command: what its value is, for display."""
    dataset: Annotated[
        Literal["auto", Kind] | Annotated[str, AfterValidator(partial(check_installed, READERS))],
        Field(union_mode="left_to_right"),
    ] = "auto"
    """auto takes Omniglot where it is found or can be had, else glyphs. omniglot_small1 and
    omniglot_small2 train on five of Omniglot's 30 background alphabets; folder is own images. The
    name of an entry point is a reader that a package brings."""
    pictures: Pictures = "auto"
    """How own images are converted. paper: what is darker than light paper, or lighter than dark
    paper, is ink. plain: the grey values are kept, for photographs. auto: paper where most
    pictures have a plain ground."""
    space: str | dict[str, Any]
    """Search space: a shipped name, a file beside the study file, or its content, which needs no
    name."""
    trial: Annotated[TrialConfig | None, Field(validate_default=True)] = None
    """The configuration in which the searched parameters are set; a command has none."""
    objective: Objective = "tasks_320"
    """What is minimised: the error on the paper's 320 one-shot tasks, or the dense expected error
    over all tasks of the eight drawers that do not train, with a fraction of the noise."""
    objectives: tuple[NamedObjective, ...] = ()
    """What is searched for, if it is more than one ([objectives](objectives.md)): validation_error
    and costs, e.g. `[validation_error, multiply_adds]`; of a command its value and its metrics."""
    constraints: dict[str, Bound] = Field(default_factory=dict)
    """Bounds on what training measures, e.g. `latency_ms: {max: 5}`. A trial that breaks one ends
    at once. Costs that are known before training have `limits`."""
    ways: int | None = Field(None, ge=2, le=1000)
    """Candidates of a validation task; by default the data's own, at most 20."""
    shots: int = Field(1, ge=1, le=100)
    """Support images of each candidate of a validation task. More than one needs the objective
    dense."""
    sampler: SamplerConfig = SamplerConfig()
    pruner: PrunerConfig = Field(PrunerConfig(), validate_default=True)
    budget: Budget = Budget(trials=20)
    limits: Limits = Limits()
    enqueue: tuple[EnqueuedEntry, ...] = ()
    """Configurations tried first: `paper` (Figure 3's architecture with 0.01, 0.9, 1e-4),
    `reference` (the study's own `trial` section), `encoder` (the best start, not trained), a file
    that `export` wrote, or parameters by path; {config: paper, replicate: NAME} tries one again
    with another seed."""
    freeze: Annotated[dict[str, Any], BeforeValidator(by_path)] = Field(default_factory=dict)
    """Parameters of the space that are not searched in this study: path to value."""
    warm_start: WarmStart | None = None
    """Another study whose trials the sampler may learn from."""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of everything random in the study."""
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    """Number of trials that run at the same time; auto means one per CPU core or CUDA device."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto uses CUDA where it is available."""
    worker_timeout_s: float = Field(120.0, ge=5, le=86_400)
    """A worker that sends no sign of life for this time counts as lost; its trial continues from
    the checkpoint. An epoch may take longer."""
    step_timeout_s: float = Field(300.0, ge=5, le=86_400)
    """A worker that takes no step, evaluates no images and writes no checkpoint for this time also
    counts as lost, as on a card that hangs; raise it if one step takes longer."""
    executor: Literal["local", "ray"] = "local"
    """local runs trials on this machine, ray on a Ray cluster (make install-cluster)."""
    address: Annotated[str, Field(min_length=1)] | None = None
    """Ray cluster: HOST:PORT, `auto` for the one this machine belongs to; none starts one here."""
    resources: Resources = Resources()
    storage: Annotated[str, AfterValidator(check_storage)] = "sqlite"
    """`sqlite` keeps the study in its folder; postgresql://[USER@]HOST[:PORT]/DATABASE on a server
    that several drivers may share (needs psycopg: make install-cluster; the password comes from
    PGPASSWORD or ~/.pgpass)."""
    lease_s: float = Field(60.0, ge=1, le=86_400)
    """On a server: seconds after which other drivers take over the trials of a silent driver."""

    @field_validator("shots")
    @classmethod
    def _check_shots(cls, shots: int, info: ValidationInfo) -> int:
        if shots > 1 and info.data.get("objective") == "tasks_320":
            raise ValueError(
                "the tasks of objective tasks_320 have one shot; set objective: dense"
            )
        return shots

    @field_validator("pruner")
    @classmethod
    def _of_sampler(cls, pruner: PrunerConfig, info: ValidationInfo) -> PrunerConfig:
        """Take asha with a sampler other than bayes where the pruner is not named.

        It stays one that is not named: a study that goes on keeps what it began with.
        """
        sampler: SamplerConfig | None = info.data.get("sampler")
        if sampler is None or sampler.name == "bayes" or "name" in pruner.model_fields_set:
            return pruner
        values = {**dict(pruner), "name": "asha"}
        return PrunerConfig.model_construct(pruner.model_fields_set, **values)

    @field_validator("trial")
    @classmethod
    def _needed(cls, trial: TrialConfig | None, info: ValidationInfo) -> TrialConfig | None:
        if info.data.get("trainer") is None and trial is None:
            raise ValueError(
                "trial: is missing; write the network, or a trainer: {command: [...]}"
            )
        return trial

    @model_validator(mode="after")
    def _fits_trainer(self) -> Self:
        """Refuse settings of the other trainer: they would do nothing."""
        if self.trainer is None:
            if foreign := sorted({"direction", "measure"} & self.model_fields_set):
                changed = [n for n in foreign if getattr(self, n) != OF_A_COMMAND[n]]
                if changed:
                    raise ValueError(f"{changed[0]}: belongs to a command as trainer; remove it")
            return self
        for name, default in OF_THE_NETWORK.items():
            if getattr(self, name) != default:
                raise ValueError(f"{name}: belongs to the siamese trainer; remove it")
        if self.pruner.resource != "epochs":
            raise ValueError("pruner.resource: a command has no multiply-adds; write epochs")
        if self.budget.compute is not None or self.budget.stop_when is not None:
            raise ValueError("budget: a command has no multiply-adds; set trials or hours only")
        for entry in self.enqueue:
            if entry.config in NAMED and entry.config != "reference":
                raise ValueError(f"enqueue: {entry.config}: give a command's parameters by name")
        return self

    @model_validator(mode="after")
    def _goals_hold(self) -> Self:
        _ = self.goals  # refuses objectives that nothing reports
        if not self.goals.several:
            return self
        if self.sampler.foreign or self.sampler.name.startswith("skopt"):
            who = self.sampler.name if self.sampler.foreign else "scikit-optimize"
            raise ValueError(
                f"sampler.name: {self.sampler.name}: {who} is told one objective; write "
                "bayes, tpe, gp, nsga2 or random"
            )
        if self.pruner.foreign or self.pruner.name in ("median", "percentile"):
            raise ValueError(
                f"pruner.name: {self.pruner.name} compares one objective; write asha or expected"
            )
        if self.budget.stop_when is not None:
            raise ValueError("budget.stop_when: forecasts one objective; set trials or hours only")
        return self

    @property
    def goals(self) -> Goals:
        """Its objectives and constraints."""
        maximized = self.direction == "maximize"
        own = None if self.trainer is None else (self.measure, maximized)
        return goals_of(self.objectives, self.constraints, own)

    @property
    def recipe(self) -> Recipe:
        """What trains a trial, before its parameters are set."""
        return CommandTrial.of(self.trainer) if self.trainer is not None else self.siamese

    @property
    def siamese(self) -> TrialConfig:
        """The siamese trainer's `trial` section.

        Raises:
            InputError: The study's trainer is a command.
        """
        if self.trial is None:
            raise InputError(f"study {self.name}: its trainer is a command, which has no network")
        return self.trial

    @property
    def reading(self) -> Reading:
        """How own images are read."""
        return "rgb" if self.trial is not None and self.trial.colour else self.pictures

    @property
    def shown(self) -> Measure:
        """How values are shown."""
        if self.trainer is None:
            return VALIDATION_ERROR
        return Measure(self.measure, maximized=self.direction == "maximize", share=False)

    @property
    def run(self) -> dict[str, Any] | None:
        """How the program of a command runs; None for the siamese trainer."""
        if self.trainer is None:
            return None
        return {**self.trainer.place, "maximize": self.direction == "maximize"}

    @property
    def resource(self) -> Resource:
        """The lengths and costs of its trials."""
        return Resource(self.pruner.resource, self.recipe)

    def plain(self) -> dict[str, Any]:
        """Return plain values: the siamese trainer's as in versions that had no other."""
        values = self.model_dump(mode="json")
        values = {k: v for k, v in values.items() if v or k not in OF_SEVERAL}
        if self.trial is None:
            return {k: v for k, v in values.items() if k not in ("trial", *OF_THE_NETWORK)}
        kept = {k: v for k, v in values.items() if k not in ("trainer", *OF_A_COMMAND)}
        return {**kept, "trial": self.trial.plain()}

    @classmethod
    def from_values(cls, values: Any, source: str | Path) -> StudyConfig:
        """Validate a plain dictionary.

        Raises:
            InputError: One line with file, key, value and what is allowed.
        """
        return load_section(cls, values, source)

    @classmethod
    def from_yaml(cls, path: Path) -> StudyConfig:
        """Read a study file.

        Raises:
            InputError: It is missing or invalid.
        """
        return cls.from_values(read_yaml(path), path)

    def to_yaml(self) -> str:
        """Return the complete study file."""
        return dump_yaml(self.plain())
