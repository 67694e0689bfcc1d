"""Measurements: ratios within one run on one machine. Not installed with the package."""

import hpsearch  # noqa: F401  before torch: it says how threads wait
