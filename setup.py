"""Find the packages. Search spaces and studies are packages too, so the wheel holds them."""

from setuptools import find_packages, setup

SHIPPED = ["hpsearch.shipped.search_spaces", "hpsearch.shipped.studies"]

setup(packages=[*find_packages(include=["hpsearch", "hpsearch.*"]), *SHIPPED])
