"""Invariants, repair, migration, copies, and deriving suggestions again."""
