"""The fixtures of the tests of results."""

from tests.results.conftest import cache, few_figures, model, one_thread

__all__ = ["cache", "few_figures", "model", "one_thread"]
