"""One core, and a cache of its own, for every test of the results."""

from tests.support.isolation import cache, one_thread

__all__ = ["cache", "one_thread"]
