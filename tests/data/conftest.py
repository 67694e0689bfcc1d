"""A cache of its own and no network for every test of the data."""

from tests.support.isolation import cache, small

__all__ = ["cache", "small"]
