"""Training of one configuration. Knows nothing of the search; this file imports no torch."""
