from xml.etree import ElementTree

from benchmarks.search_bench import ranks
from benchmarks.search_figures import figure

SECONDS = [10.0, 20.0, 30.0]
REPORT = {
    "default": "tpe-asha",
    "horizon_s": 30.0,
    "time_to_best_5_percent": {
        "random-none": {"median": None, "low": 12.0, "high": None},
        "tpe-asha": {"median": 8.0, "low": 4.0, "high": 11.0},
    },
    "error_over_time": {
        "random-none": {"seconds": SECONDS, "median": [0.9, 0.8, 0.7]},
        "tpe-asha": {"seconds": SECONDS, "median": [0.8, 0.6, 0.6]},
    },
    "rank_over_time": {"random-none": [2.0, 2.0, 2.0], "tpe-asha": [1.0, 1.0, 1.0]},
}


def test_every_set_up_is_named_and_has_its_lines():
    root = ElementTree.fromstring(figure(REPORT))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.index("tpe-asha") < texts.index("random-none")
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 4
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 1
    errors = texts[texts.index("error of the best trial, median") + 1 :]
    assert {"0.6", "0.7", "0.8"} <= set(errors[: errors.index("simulated seconds")])


def test_what_was_replayed_to_its_goal_only_has_a_time_and_no_curve():
    times = {**REPORT["time_to_best_5_percent"], "ax": {"median": 6.0, "low": 6.0, "high": 6.0}}
    root = ElementTree.fromstring(figure({**REPORT, "time_to_best_5_percent": times}))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.index("ax") < texts.index("tpe-asha")
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 4


def test_ranks_are_of_each_seed_and_ties_share_theirs():
    results = {
        "a": [{"path": [[1.0, 0.5]]}, {"path": [[1.0, 0.4]]}],
        "b": [{"path": [[1.0, 0.5]]}, {"path": [[1.0, 0.6]]}],
    }
    found = ranks(results, 600.0)
    assert set(found["a"]) == {1.25}
    assert set(found["b"]) == {1.75}
