"""``hpsearch.search(study, data=None, *, output=None, **settings)`` searches, or continues a study.

It is what Python programs call, as in ``hpsearch.search("quickstart", "omniglot/", workers=2)``; help
on `hpsearch.app.python.search` says what it takes, returns and raises. The package of that name is the
search itself: study files, spaces, samplers, pruners, the driver and its record. Knows no torch.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """A package that can be called, since its name is also that of the call."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        import hpsearch

        return hpsearch.run_study(*arguments, **settings)


sys.modules[__name__].__class__ = _CallableModule
