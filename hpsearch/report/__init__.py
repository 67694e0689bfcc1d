"""Writes the report of a study: one page that needs neither a server nor a network."""

from hpsearch.report.page import write_report

__all__ = ["write_report"]
