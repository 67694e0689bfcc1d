"""Measurements: ratios within one run on one machine. Not installed with the package."""
