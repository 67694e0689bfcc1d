"""A search as one call, from study file to driver and executor. Knows no terminal."""
