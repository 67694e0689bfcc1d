"""Finds the packages; search spaces and studies ship as packages of their own. See pyproject.toml."""

from setuptools import find_packages, setup

SHIPPED = ["hpsearch.shipped.search_spaces", "hpsearch.shipped.studies"]

setup(packages=[*find_packages(include=["hpsearch", "hpsearch.*"]), *SHIPPED])
