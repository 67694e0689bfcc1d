"""The loop that asks, submits, decides and records. Knows executors by their interface only."""
