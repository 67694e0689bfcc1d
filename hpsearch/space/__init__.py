"""The search space: parameters, feasible sizes, coordinates, costs. Knows no sampler, no torch."""
