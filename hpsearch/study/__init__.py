"""The study file and its plan, enqueued configurations, the lock. Knows no database."""
