from xml.etree import ElementTree

from benchmarks.search_bench import ranks
from benchmarks.search_figures import figure

SECONDS = [10.0, 20.0, 30.0]
REPORT = {
    "default": "bayes-expected",
    "tables": {
        "siamese35": {
            "seeds": 60,
            "seeds_of": {"bayes-expected": 60, "random-none": 60, "smac": 20},
            "restricted_mean_s": {
                name: {"1_percent": {"mean": mean}}
                for name, mean in (("bayes-expected", 33.6), ("random-none", 263), ("smac", 242))
            },
            "ratio_to_default": {
                "bayes-expected": {"1_percent": {"ratio": 1.0, "low": 1.0, "high": 1.0}},
                "random-none": {"1_percent": {"ratio": 7.8, "low": 6.5, "high": 9.5}},
                "smac": {"1_percent": {"ratio": 7.0, "low": 5.1, "high": 9.9}},
            },
        }
    },
    "error_over_time": {
        "random-none": {"seconds": SECONDS, "median": [0.9, 0.8, 0.7]},
        "bayes-expected": {"seconds": SECONDS, "median": [0.8, 0.6, 0.6]},
        "not-above": {"seconds": SECONDS, "median": [0.8, 0.6, 0.6]},
    },
}


def test_every_set_up_is_named_and_has_its_lines() -> None:
    root = ElementTree.fromstring(figure(REPORT))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    order = [texts.index(n) for n in ("bayes-expected", "smac (20 seeds)", "random-none")]
    assert order == sorted(order)
    assert {"34 s", "242 s", "1", "2", "5"} <= set(texts)
    circles = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    places = [float(circle.get("cx", "nan")) for circle in circles]
    assert places == sorted(places)
    assert len(places) == 3
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 2
    errors = texts[texts.index("error of the best trial, median (siamese35)") + 1 :]
    assert {"0.6", "0.7", "0.8"} <= set(errors[: errors.index("simulated seconds")])


def test_ranks_are_of_each_seed_and_ties_share_theirs() -> None:
    results = {
        "a": [{"path": [[1.0, 0.5]]}, {"path": [[1.0, 0.4]]}],
        "b": [{"path": [[1.0, 0.5]]}, {"path": [[1.0, 0.6]]}],
    }
    found = ranks(results, 600.0)
    assert set(found["a"]) == {1.25}
    assert set(found["b"]) == {1.75}
