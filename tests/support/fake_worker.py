"""Stands in for a worker: speaks the protocol, or breaks it as its first argument says."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

GARBAGE = {
    "text": b"Segmentation fault\n",
    "bytes": b"\xff\xfe\x00\x1b[31m\n",
    "number": b"17\n",
    "list": b'[{"event": "ended"}]\n',
    "no trial": b'{"event": "ended", "ending": "finished", "cause": null}\n',
    "another trial": b'{"event": "ended", "trial": 9, "ending": "finished", "cause": null}\n',
    "unknown event": b'{"event": "fell over", "trial": 0}\n',
    "unknown ending": b'{"event": "ended", "trial": 0, "ending": "gave up", "cause": null}\n',
    "no cause": b'{"event": "ended", "trial": 0, "ending": "finished"}\n',
    "no result": b'{"event": "epoch", "trial": 0}\n',
    "epoch of text": b'{"event": "epoch", "trial": 0, "result": "good"}\n',
    "epoch of nothing": b'{"event": "epoch", "trial": 0, "result": {"loss": 1.0}}\n',
    "curve of text": b'{"event": "started", "trial": 0, "pid": 1, "device": "cpu", "curve": 3}\n',
    "deep": b"[" * 100_000 + b"\n",
}


def tell(**message: object) -> None:
    """Send one message."""
    os.write(1, json.dumps(message).encode() + b"\n")


def environment() -> dict[str, str]:
    """Return what the executor decides about a worker's environment."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    return {name: os.environ.get(name, "") for name in names}


def end(trial: int, ending: str, cause: str | None = None) -> None:
    """Report the end of a trial."""
    tell(event="ended", trial=trial, ending=ending, cause=cause)


def train(job: dict[str, Any]) -> None:
    """Report as many epochs as the job asks for; each waits for its decision."""
    trial = job["trial"]
    for epoch in range(1, job["config"]["max_epochs"] + 1):
        error = 1 / (epoch + 1 + trial)
        result = {"epoch": epoch, "loss": error, "validation_error": error, "seconds": 1.0}
        tell(event="epoch", trial=trial, result={**result, "images": 1, "multiply_adds": 1})
        if json.loads(sys.stdin.readline()).get("decision") != "go":
            end(trial, "interrupted")
            return
    end(trial, "finished")


def on_card(behaviour: str, job: dict[str, Any]) -> None:
    """Behave as on a card: `dead NAME` fails on one device, the others run out of memory."""
    trial, folder = job["trial"], Path(job["checkpoint"]).parent.parent
    card = os.environ["CUDA_VISIBLE_DEVICES"]
    if behaviour == f"dead {card}":
        end(trial, "device failed", "AcceleratorError: uncorrectable ECC error encountered")
    elif behaviour == f"hangs {card}":
        tell(event="stalled")
        time.sleep(600)
    elif behaviour.startswith(("dead", "hangs")):
        train(job)
    elif trial == 0:
        tried = folder / "tried"
        beside = sorted(path.name for path in folder.glob("running-*"))
        if tried.exists() and behaviour == "fits alone":
            end(trial, "finished", f"beside {beside}")
        else:
            tried.write_text("x")
            end(trial, "out of memory", f"beside {beside}")
    else:
        mine = folder / f"running-{trial}"
        mine.write_text("x")
        while not (folder / "tried").exists():
            time.sleep(0.01)
        time.sleep(0.5)
        mine.unlink()
        end(trial, "finished")


def main() -> None:
    """Answer each job at once."""
    behaviour, device, threads = sys.argv[1:4]
    if behaviour == "exits early":
        os.write(2, b"Traceback\nImportError: no such thing\n")
        sys.exit(1)
    if behaviour == "killed early":
        os.kill(os.getpid(), signal.SIGKILL)
    tell(event="ready")
    if behaviour == "never reads":
        time.sleep(600)
    for line in sys.stdin:
        job = json.loads(line).get("job")
        if job is None:
            continue
        trial = job["trial"]
        if behaviour == "exits":
            sys.exit(3)
        if behaviour == "closes":
            os.close(1)
            time.sleep(600)
        if behaviour in GARBAGE and trial == 0:
            os.write(1, GARBAGE[behaviour])
            time.sleep(600)
        tell(event="started", trial=trial, pid=os.getpid(), device=device, curve=[])
        if behaviour.startswith(("dead", "hangs", "fits")):
            on_card(behaviour, json.loads(line)["job"])
            continue
        if behaviour == "noisy":
            for _ in range(50):
                os.write(2, b"warning " * 12_500)
        if behaviour == "in pieces":
            ended = {"event": "ended", "trial": trial, "ending": "stopped", "cause": "é"}
            for byte in json.dumps(ended, ensure_ascii=False).encode() + b"\n":
                os.write(1, bytes([byte]))
            continue
        cause = json.dumps({**environment(), "threads": threads})
        tell(event="ended", trial=trial, ending="finished", cause=cause)
        if behaviour == "mutters" and trial == 0:
            os.write(1, b"why does nobody talk to me\n")


if __name__ == "__main__":
    main()
