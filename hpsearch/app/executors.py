"""Makes a study's executor; Ray is imported only for a study on Ray."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hpsearch.app.card_share import too_full, trials_a_card
from hpsearch.errors import InputError
from hpsearch.execution import Executor
from hpsearch.execution.devices import (
    choose_device,
    count_cores,
    default_workers,
    find_devices,
)
from hpsearch.study.plan import StudyPlan
from hpsearch.waiting import Caught
from hpsearch.wording import count


@dataclass(frozen=True)
class Workplace:
    """Where trials run, as text, and the function that makes the executor."""

    words: str
    make: Callable[[], Executor]
    slots: int = 1
    threads: int = 1
    """Threads of one trial on the CPU."""
    device: str | None = None
    """Device of the trials on this machine; None on a cluster."""
    notices: tuple[str, ...] = ()
    """What may go wrong there."""


def find_workplace(plan: StudyPlan, caught: Caught | None = None) -> Workplace:
    """Choose where a study's trials run, without starting anything.

    Args:
        plan: The study.
        caught: The interrupts so far, which end an executor's waits.

    Raises:
        InputError: The study needs something that is not available.
    """
    return _on_ray(plan, caught) if plan.config.executor == "ray" else _here(plan)


def _here(plan: StudyPlan) -> Workplace:
    from hpsearch.execution.local import LocalExecutor

    config = plan.config
    device = choose_device(config.device)
    cpu, gpu = config.resources.cpu, config.resources.gpu
    cuda, places = device == "cuda", default_workers(device)
    if config.workers != "auto":
        slots = config.workers
    elif cuda and gpu is None:
        slots = places * trials_a_card(plan, places)
    else:
        slots = max(1, int(places / ((gpu if cuda else cpu) or 1) + 1e-6))
    threads = max(1, int(cpu)) if cpu else None
    logs = plan.folder.root / "logs"
    make = partial(
        LocalExecutor,
        slots,
        device,
        threads=threads,
        log_folder=logs,
        silence_s=config.worker_timeout_s,
        step_timeout_s=config.step_timeout_s,
    )
    unused = find_devices().advice if config.device == "auto" and device == "cpu" else None
    words = f"{count(slots, 'worker')} on {device}{f' ({unused})' if unused else ''}"
    threads = threads or max(1, count_cores() // slots)
    full = too_full(plan, places, slots) if cuda else []
    return Workplace(words, make, slots, threads, device, tuple(full))


def _on_ray(plan: StudyPlan, caught: Caught | None) -> Workplace:
    try:
        import ray  # noqa: F401
    except ImportError:
        raise InputError(
            "executor: ray: Ray is not installed; make install-cluster, or pip install "
            "'psutil>=5.9' 'ray>=2.60,<3', or use local"
        ) from None
    from hpsearch.cluster.connection import RaySettings
    from hpsearch.cluster.executor import RayExecutor

    config = plan.config
    most = None if config.workers == "auto" else config.workers
    address = config.address or os.environ.get("RAY_ADDRESS") or None
    settings = RaySettings(
        workers=most,
        device=config.device,
        cpu=config.resources.cpu,
        gpu=config.resources.gpu,
        address=address,
        silence_s=config.worker_timeout_s,
        step_timeout_s=config.step_timeout_s,
    )
    where = f"the Ray cluster at {address}" if address else "Ray on this machine"
    workers = count(most, "worker") if most else "as many workers as fit"
    make = partial(RayExecutor, settings, plan.folder.root, caught)
    return Workplace(f"{workers}, {config.device}, on {where}", make)
