"""What `hpsearch confirm` found out about the best trials, as the page shows it."""

from __future__ import annotations

import json
from typing import Any

from hpsearch.results.report.facts import Facts


def read_certificate(facts: Facts) -> dict[str, Any] | None:
    """Return the study's certificate; None while it is unconfirmed."""
    try:
        found = json.loads((facts.folder.root / "certificate.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
