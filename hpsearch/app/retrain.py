"""Runs `hpsearch retrain` of a command: agree to it, run it on this machine, say its result."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from hpsearch.app.command import agree, find_program, words_of
from hpsearch.app.search import interrupts
from hpsearch.errors import AGAIN, EnvironmentFailure
from hpsearch.execution.devices import choose_device
from hpsearch.execution.local import LocalExecutor
from hpsearch.output import notice, say, unwaited
from hpsearch.paths import shell_word
from hpsearch.provenance import differences, software
from hpsearch.results.export import said, stale
from hpsearch.results.retrain_command import (
    CommandTraining,
    begin,
    certified,
    holds_command,
    read_command,
    read_metrics,
)
from hpsearch.study.trust import is_own_mark
from hpsearch.waiting import Caught, Interrupted

__all__ = ["Settings", "holds_command", "retrain_command"]


@dataclass(frozen=True)
class Settings:
    """How a command is run again.

    Args:
        seed: None takes the trial's seed.
        steps: None takes max_steps.
        device: auto, cpu or cuda.
        trust: Whether the user agrees to a command that is not marked as theirs.
        replaces: Whether another model in the folder is renamed, not refused.
    """

    seed: int | None
    steps: int | None
    device: str
    trust: bool = False
    replaces: bool = False


def retrain_command(path: Path, output: Path, settings: Settings) -> int:
    """Run the command of a best.yaml to its end; return the exit code.

    Args:
        path: best.yaml, or a trial's config.yaml.
        output: The model folder; a run begun there continues.
        settings: Seed, steps, device, and what the user agrees to.

    Raises:
        InputError: Invalid input, or nobody agreed to the command.
        EnvironmentFailure: The program failed; the same command goes on.
    """
    exported, config = read_command(path)
    trainer = exported.trainer(config)
    if not is_own_mark(exported.mark, *said(config.plain(), trainer.directory)):
        words = f"{words_of(trainer)}, with {config.parameters}"
        agree(str(path), words, trainer, trust=settings.trust)
    find_program(trainer)
    as_found = settings.steps in (None, config.max_steps)
    config = config.model_copy(update={"max_steps": settings.steps or config.max_steps})
    seed = exported.seed if settings.seed is None else settings.seed
    exported = exported.model_copy(update={"seed": seed})
    if old := stale(path):
        notice(old)
    for difference in differences(exported.provenance, software()) if exported.provenance else []:
        notice(f"found with {difference}: the result may differ")
    begin(exported, config, output, notice if settings.replaces else None)
    caught = Caught()
    with ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            stack.enter_context(unwaited(stream, lambda: caught.count))
        stack.enter_context(interrupts(caught))
        executor = LocalExecutor(1, choose_device(settings.device), log_folder=output / "logs")
        stack.enter_context(closing(executor))
        work = CommandTraining(
            exported,
            config,
            output,
            executor,
            lambda text: say(text, err=True),
            lambda: caught.count,
        )
        try:
            ended = work.run()
        except Interrupted as stop:
            say(str(stop))
            ended = None
    if ended is None:
        say("the same command continues")
        return caught.exit_code
    metrics = read_metrics(output)
    if metrics is None:
        raise EnvironmentFailure(f"{output / 'metrics.json'}: unreadable; {AGAIN}")
    shown, found = exported.shown, certified(exported, metrics, as_found=as_found)
    where = f" {list(found['interval'])}" if found["interval"] else ""
    say(
        f"{output}: {shown.name} {metrics['value']:.6g} after {metrics['epochs']} steps, seed "
        f"{seed}; certificate: {found['verdict']}{where}; its state is in "
        f"{shell_word(output / 'checkpoint')}"
    )
    return 0
