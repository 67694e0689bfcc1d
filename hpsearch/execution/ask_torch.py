"""Prints as JSON what torch says of itself and its cards.

A process of its own: who asks may start others, and must hold no memory of a card.
"""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    import torch

    cards = range(torch.cuda.device_count())
    names = [torch.cuda.get_device_name(n) for n in cards]
    memory = [torch.cuda.get_device_properties(n).total_memory for n in cards]
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    told = {"cuda": torch.version.cuda, "cudnn": cudnn, "cards": names, "memory": memory}
    sys.stdout.write(json.dumps(told) + "\n")
