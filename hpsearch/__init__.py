"""hpsearch: the search for Koch's siamese network, with nothing wasted and nothing lost."""

from __future__ import annotations

__version__ = "0.1.0"
