"""The command check: runs a study's program for a moment, before hours are spent."""

from __future__ import annotations

from hpsearch.cli.options import StudyArgument, TrustOption


def check(study: StudyArgument, trust: TrustOption = False) -> int:
    """Run a command's program for a step or two; say what of the protocol it keeps."""
    from hpsearch.app.check import check_study

    return check_study(study, trust=trust)
