"""A study's database and files, the drivers that share it. Knows no sampler."""
