"""What a study's history says about every configuration: its final error, and how sure that is."""

from hpsearch.belief.belief import Belief
from hpsearch.belief.evidence import Evidence, from_history

__all__ = ["Belief", "Evidence", "from_history"]
