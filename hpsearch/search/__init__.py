"""The search: study configuration, space, samplers, pruners, storage, driver. Knows no torch."""
