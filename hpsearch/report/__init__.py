"""The report of a study: one page that needs nothing else, neither a server nor a network."""

from hpsearch.report.page import write_report

__all__ = ["write_report"]
