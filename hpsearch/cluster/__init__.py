"""Runs jobs on a Ray cluster: each slot is an actor with one local worker. Knows no search."""
