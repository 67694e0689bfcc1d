"""Hyperparameter search for Koch's siamese network for one-shot recognition, and for any program.

``hpsearch.search(train, space, trials=50)`` searches the parameters of a function,
``hpsearch.search("quickstart", "omniglot/")`` those of the network;
``hpsearch.Study.open("runs/x")`` opens a study. ``hpsearch.Recogniser.load()`` recognises with
the shipped model, and
``hpsearch.load("runs/x/model").rank(images, support_folder)`` with one of your own. Importing the
package loads neither numpy nor torch.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hpsearch.interpreter import (
    import_nothing_from_here,
    leave_deleted_folder,
    wait_passively,
)

if TYPE_CHECKING:
    from hpsearch.app.callback import Callback
    from hpsearch.app.python import search
    from hpsearch.app.study import Study
    from hpsearch.app.tensorboard import TensorBoard
    from hpsearch.recognition.model import load_model as load
    from hpsearch.recognition.recogniser import Recogniser

if sys.platform == "win32":
    sys.stderr.write(
        "hpsearch: Windows is not supported: it has no fcntl file locks; use Linux, WSL or macOS\n"
    )
    raise SystemExit(3)

# Every process of hpsearch imports this before it loads torch.
import_nothing_from_here()
wait_passively()
leave_deleted_folder()

__version__ = "0.1.0"
__all__ = [
    "Callback",
    "Recogniser",
    "Study",
    "TensorBoard",
    "__version__",
    "load",
    "search",
]


def __getattr__(name: str) -> Any:
    if name == "load":
        from hpsearch.recognition.model import load_model

        return load_model
    if name == "Recogniser":
        from hpsearch.recognition.recogniser import Recogniser

        return Recogniser
    if name == "Study":
        from hpsearch.app.study import Study

        return Study
    if name == "Callback":
        from hpsearch.app.callback import Callback

        return Callback
    if name == "TensorBoard":
        from hpsearch.app.tensorboard import TensorBoard

        return TensorBoard
    if name == "search":
        from hpsearch.app.python import search

        return search
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
