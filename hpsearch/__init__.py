"""hpsearch: the search for Koch's siamese network, with nothing wasted and nothing lost.

From Python: ``hpsearch.load("runs/x/model").rank(images, support_folder)``. Importing this alone
loads neither numpy nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.recognition.model import load_model as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from hpsearch.recognition.model import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
