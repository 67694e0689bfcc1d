from benchmarks.start import table


def test_a_start_is_judged_by_the_best_quarter_of_all_trials():
    rows = [
        {"start": start, "trial": number, "outcome": outcome, "error": error}
        for start, number, outcome, error in (
            ("recentred", 0, "complete", 0.3),
            ("recentred", 1, "complete", 0.5),
            ("random", 0, "dead", 0.2),
            ("random", 1, "complete", 0.7),
        )
    ]
    lines = table(rows).splitlines()
    assert lines[2].startswith("| `random` | 2 | 1 | 0.700 | 0.850 | 0.00 (")
    assert lines[3].startswith("| `recentred` | 2 | 0 | 0.300 | 0.400 | 0.50 (")
