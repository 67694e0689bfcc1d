"""A cache of its own and no network for every test of the sources."""

from tests.support.isolation import cache, small

__all__ = ["cache", "small"]
