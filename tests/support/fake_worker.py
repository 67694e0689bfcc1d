"""Stands in for a worker: speaks the protocol, or breaks it as its first argument says."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

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
