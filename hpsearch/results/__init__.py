"""After the search: export, retrain, evaluate, baselines, dashboard. Knows no executor."""
