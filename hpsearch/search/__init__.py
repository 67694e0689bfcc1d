"""The search: study files, spaces, samplers, pruners, the driver and its record. Knows no torch.

The package is also what Python programs call: ``hpsearch.search(study, data)``; see `hpsearch.api`.
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
