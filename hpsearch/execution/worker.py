"""One worker process: reads jobs and decisions as JSON lines, trains, and reports as JSON lines.

Run as `python -m hpsearch.execution.worker`. It never touches the study's database.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.allocation import keep_freed_memory, return_freed_memory
from hpsearch.errors import EnvironmentFailure
from hpsearch.execution import Ended, Ending
from hpsearch.execution.blame import ending_of
from hpsearch.execution.command_job import CommandRunner
from hpsearch.execution.devices import find_driver
from hpsearch.execution.driver_pipe import DriverPipe, one_line_of
from hpsearch.execution.reports import Reports
from hpsearch.trainers.recipe import is_command

if TYPE_CHECKING:
    from hpsearch.training.config import TrialConfig
    from hpsearch.training.trainingdata import TrainingData

PR_SET_PDEATHSIG = 1
FOREIGN_SHARE = 0.1
"""Share of a card's memory that other processes may hold without being to blame."""
Fields = dict[str, Any]
"""A job or a configuration as JSON."""
Kept = dict[tuple[Any, ...], "TrainingData"]
"""The data of the last job, by the settings that they depend on."""


def die_with_parent() -> None:
    """Have the kernel kill this process when its driver dies.

    Uses prctl, which only Linux has; elsewhere the process exits when standard input ends.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def serve(device: str, threads: int, step_timeout_s: float) -> None:
    """Run jobs until the driver closes the pipe. Torch is loaded for the siamese trainer only."""
    driver = DriverPipe(step_timeout_s)
    driver.busy.set()  # also while torch is loaded
    job = driver.wait_for_job()
    if is_command(job["config"]):
        runner = CommandRunner(driver, device, threads)
        driver.send(event="ready")
        while True:
            driver.end(runner.run(job))
            job = driver.wait_for_job()
    driver.load()
    try:
        import torch

        torch.set_num_threads(threads)
        # Every layer marks, in evaluation too, which has no steps.
        torch.nn.modules.module.register_module_forward_pre_hook(driver.mark)
    except Exception as error:  # a broken installation, or no memory for it
        cause = f"torch cannot be loaded: {one_line_of(error)}"
        driver.end(Ended(job["trial"], Ending.ENVIRONMENT, cause))
        return
    keep_freed_memory()
    driver.mark()
    driver.send(event="ready")
    kept: Kept = {}
    while True:
        driver.end(train_job(job, device, driver, kept))
        return_freed_memory()
        job = driver.wait_for_job()


def train_job(job: Fields, device: str, driver: DriverPipe, kept: Kept) -> Ended:
    """Train one job of the siamese trainer; turn an exception into the end of its trial."""
    try:
        ended = run_job(job, device, driver, kept)
    except Exception as error:
        ended = Ended(job["trial"], ending_of(error), one_line_of(error))
        if device == "cuda" and ended.ending is Ending.OUT_OF_MEMORY:
            ended = beside_others(ended)
    return_freed_memory()
    if ended.ending is Ending.OUT_OF_MEMORY and not smallest_fits(job, device, driver, kept):
        cause = (
            "out of memory, also for the smallest network of the search space; free memory or "
            f"raise the limit, then run the same command again ({ended.cause})"
        )
        return Ended(ended.trial, Ending.ENVIRONMENT, cause)
    return ended


def beside_others(ended: Ended) -> Ended:
    """Return the end of a trial that ran out of memory, with the share of the other processes.

    Where they hold much of the card, the configuration is not known to be to blame.
    """
    import torch

    try:
        free, total = torch.cuda.mem_get_info()
        others = total - free - torch.cuda.memory_reserved()
    except RuntimeError:  # the card's memory is so full that nothing works
        return Ended(ended.trial, Ending.CROWDED, ended.cause)
    if others <= FOREIGN_SHARE * total:
        return ended
    held = f"other processes hold {others / 1e9:.1f} of {total / 1e9:.1f} GB of the card"
    return Ended(ended.trial, Ending.CROWDED, f"{held} ({ended.cause})")


def smallest_fits(job: Fields, device: str, driver: DriverPipe, kept: Kept) -> bool:
    """Return whether memory suffices to train the search space's smallest network for one step.

    If it does not, the machine is to blame, and not the network that ran out of memory.
    """
    from hpsearch.training.loop import train

    if job.get("smallest") is None:
        return True
    try:
        config, data = load_data(job, job["smallest"], device, driver, kept)
        next(train(config, data, job["seed"], interrupt=iter((False, True)).__next__))
    except Exception as error:  # also the interrupt after the first step
        return ending_of(error) is not Ending.OUT_OF_MEMORY
    return True


def run_job(job: Fields, device: str, driver: DriverPipe, kept: Kept) -> Ended:
    """Train one job to its end; `kept` caches the data for the next job."""
    from hpsearch.recognition.latency import latency_of
    from hpsearch.training.checkpoint import load, save
    from hpsearch.training.loop import Interrupted, train

    config, data = load_data(job, job["config"], device, driver, kept)
    trial, path = job["trial"], Path(job["checkpoint"])
    resume = load(path)
    curve = list(resume.curve) if resume else []
    decided = job.get("decided")
    # A kill between checkpoint and report leaves an epoch without a decision.
    unreported = (
        curve.pop() if curve and decided is not None and curve[-1].epoch > decided else None
    )
    driver.send(
        event="started",
        trial=trial,
        pid=os.getpid(),
        device=device,
        curve=[result.to_json() for result in curve],
        provenance=provenance(job, device, data, config),
    )
    last = unreported or (curve[-1] if curve else None)
    diagnosis = last.diagnosis if last else None
    reports = Reports(driver, path, trial)
    if unreported:
        reports.send(unreported)
    try:
        if ending := reports.settle():
            return Ended(trial, ending)
        epochs = train(
            config, data, job["seed"], resume=resume, interrupt=reports.stop_training,
            measure=latency_of(job, config, device),
        )  # fmt: skip
        for epoch in epochs:
            driver.mark()
            if ending := reports.settle():
                return Ended(trial, ending)
            reports.begin(epoch.checkpoint(), epoch.result)
            diagnosis = epoch.result.diagnosis
        if ending := reports.settle():
            return Ended(trial, ending)
    except Interrupted as stop:
        if ending := reports.settle(interrupted=driver.interrupted.is_set()):
            return Ended(trial, ending)
        save(stop.checkpoint, path)
        return Ended(trial, Ending.INTERRUPTED)
    except Exception:  # of an epoch that the driver may not want any more
        if ending := reports.settle():
            return Ended(trial, ending)
        raise
    finally:
        reports.close()
    scores = fresh(job, config, device) if job["fresh"] else None
    return Ended(trial, Ending.DIAGNOSED if diagnosis else Ending.FINISHED, diagnosis, scores)


def load_data(
    job: Fields, values: Fields, device: str, driver: DriverPipe, kept: Kept
) -> tuple[TrialConfig, TrainingData]:
    """Return a configuration and its training data.

    Raises:
        EnvironmentFailure: The data cannot be loaded; this is no fault of the trial.
        MemoryError: The data do not fit into memory.
    """
    from hpsearch.data import open_packed
    from hpsearch.training.config import TrialConfig
    from hpsearch.training.trainingdata import TrainingData

    config = TrialConfig.from_values(values, f"trial {job['trial']}")
    objective, packed = job["objective"], Path(job["data"])
    asked = job["ways"], job["shots"]
    key = (job["data"], job["study_seed"], objective, *asked, *TrainingData.settings(config))
    if key not in kept:
        kept.clear()
        try:
            kept[key] = TrainingData.from_dataset(
                open_packed(packed).asking(*asked),
                config,
                study_seed=job["study_seed"],
                objective=objective,
                device=device,
                progress=driver.mark,
            )
        except Exception as error:
            if ending_of(error) is not Ending.FAILED:
                raise
            raise EnvironmentFailure(
                f"{packed}: cannot be loaded ({one_line_of(error)})"
            ) from error
    return config, kept[key]


def fresh(job: Fields, config: TrialConfig, device: str) -> dict[str, float]:
    """Return the best weights' accuracy on fresh tasks, by alphabet."""
    from hpsearch.data import open_packed
    from hpsearch.recognition.fresh import fresh_scores
    from hpsearch.training.build import trained_network
    from hpsearch.training.checkpoint import read

    weights = read(Path(job["checkpoint"])).best_weights()
    network = trained_network(config, weights, device)
    dataset = open_packed(Path(job["data"])).asking(job["ways"], job["shots"])
    return fresh_scores(network, config, dataset, job["study_seed"]).per_alphabet


def provenance(
    job: Fields, device: str, data: TrainingData, config: TrialConfig
) -> dict[str, Any]:
    """Return the provenance of a trial's result: software, machine, data, split, seeds."""
    import torch

    from hpsearch.data import open_packed
    from hpsearch.provenance import machine, software
    from hpsearch.training.precision import in_words

    card: dict[str, str | int | None] = {"precision": in_words(config, device)}
    name = device
    if device == "cuda":
        name = torch.cuda.get_device_name()
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        card |= {"cuda": torch.version.cuda, "cudnn": cudnn}
        card |= {"driver": find_driver()}
    return {
        **software(),
        **machine(name, torch.get_num_threads(), **card),
        "fingerprint": open_packed(Path(job["data"])).fingerprint,
        "split": data.split,
        "objective": job["objective"],
        "seed": job["seed"],
        "study_seed": job["study_seed"],
    }


def main() -> None:
    """Set the process up and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with_parent()
    device, threads, step_timeout_s = sys.argv[1:4]
    serve(device, int(threads), float(step_timeout_s))


if __name__ == "__main__":
    main()
