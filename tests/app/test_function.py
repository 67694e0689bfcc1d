"""Which functions can be searched, and how a notebook's function reaches its trials."""

from __future__ import annotations

import functools
import linecache
import math
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.app.function import check_arguments, program_of, source_of
from hpsearch.app.run_function import SOURCE
from hpsearch.errors import InputError
from hpsearch.space.parameter import Parameter


def train(x: float) -> float:
    return x


def twice(function: Callable[..., float]) -> Callable[..., float]:
    @functools.wraps(function)
    def call(**params: float) -> float:
        return 2 * function(**params)

    return call


@twice
def decorated(x: float) -> float:
    return x


def test_a_function_is_named_by_its_file() -> None:
    words, variables = program_of(train)
    runner = ["${python}", "-P", "-m", "hpsearch.app.run_function"]
    assert words == [*runner, str(Path(__file__).resolve()), __name__, "train"]
    assert variables == {}
    assert program_of(decorated)[0][-1] == "decorated"


class Holder:
    def method(self, x: float) -> float:
        return x


def hidden(x: float) -> float:
    return x


other, hidden = hidden, train


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x, "define it with def"),
        (functools.partial(train, 1), "define it with def"),
        (Holder().method, "define it with def"),
        (math.sqrt, "define it with def"),
        (test_a_function_is_named_by_its_file.__class__, "define it with def"),
        (other, "hidden: is not what .*test_function.py calls hidden"),
    ],
)
def test_what_no_trial_could_find_again_is_refused(function: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        program_of(function)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Callable[..., types.ModuleType]:
    """Run cells as a notebook does: in a __main__ without a file, whose source is known."""
    main = types.ModuleType("__main__")

    def run(*cells: str) -> types.ModuleType:
        for number, text in enumerate(cells):
            name = f"<cell {number}>"
            lines = text.splitlines(keepends=True)
            linecache.cache[name] = (len(text), None, lines, name)
            exec(compile(text, name, "exec"), main.__dict__)  # noqa: S102
        return main

    monkeypatch.setitem(sys.modules, "__main__", main)
    return run


def test_a_notebooks_function_takes_along_what_it_uses(
    notebook: Callable[..., types.ModuleType],
) -> None:
    main = notebook(
        "import math\nimport os.path as place\nfrom pathlib import Path\n",
        "SCALE, NAMES = 2, ('a',)\n",
        "def half(x):\n    return x / SCALE\n",
        "def train(x, power: 'float' = SCALE):\n"
        "    inner = lambda: Path(place.join(*NAMES))\n"
        "    return math.pow(half(x), power) + len(str(inner())) + sum(half(i) for i in [2])\n",
    )
    words, variables = program_of(main.train)
    assert words[-3:] == ["-", "__main__", "train"]
    module = types.ModuleType("fresh")
    exec(variables[SOURCE], module.__dict__)  # noqa: S102
    assert module.train(8) == main.train(8) == 18
    assert variables[SOURCE] == source_of(main.train)
    assert "import posixpath as place" in variables[SOURCE]


@pytest.mark.parametrize(
    "cell",
    [
        "import numpy as np\nrate = np.float64(0.5)\ndef train(x):\n    return x + rate\n",
        "import numpy as np\nrates = 1, (np.float32(0.5), 'a')\n"
        "def train(x):\n    return rates[0], rates[1][0] + x\n",
        "worst = float('inf')\ndef train(x):\n    return min(x, worst)\n",
        "bounds = (-float('inf'), 0)\ndef train(x):\n    return max(x, *bounds)\n",
        "def half(x):\n    return x / 2\nlater = half\ndef train(x):\n    return later(x)\n",
        "import functools\nSCALE = 3\nPLUS = 1\n"
        "def add(function):\n    @functools.wraps(function)\n"
        "    def call(x):\n        return function(x) + PLUS\n    return call\n"
        "@add\ndef half(x):\n    return SCALE * x / 2\n"
        "@add\ndef train(x):\n    return half(x)\n",
        "import functools\nSCALE = 3\n@functools.cache\ndef half(x):\n    return SCALE * x / 2\n"
        "@functools.cache\ndef train(x):\n    return half(x)\n",
    ],
)
def test_what_a_notebooks_function_took_along_gives_the_same(
    notebook: Callable[..., types.ModuleType], cell: str
) -> None:
    main = notebook(cell)
    module = types.ModuleType("fresh")
    exec(source_of(main.train), module.__dict__)  # noqa: S102
    assert module.train(8) == main.train(8)


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (
            "def add(function):\n    return lambda x: function(x) + 1\n"
            "@add\ndef half(x):\n    return x / 2\ndef train(x):\n    return half(x)\n",
            "uses half, a function that only this session has",
        ),
        (
            "def half(x):\n    return x / 2\nolder = half\ndef half(x):\n    return x\n"
            "def train(x):\n    return older(x)\n",
            "uses older, a function that only this session has",
        ),
        (
            "import enum\nclass Kind(enum.IntEnum):\n    A = 1\nkind = Kind.A\n"
            "def train(x):\n    return x + kind\n",
            "uses kind, a Kind that only this session has",
        ),
        ("data = [1, 2]\ndef train(x):\n    return data[0]\n", "uses data, a list that only this"),
        ("class Net: pass\ndef train(x):\n    return Net()\n", "uses Net, a type that only"),
        ("train = lambda x: x\n", "define it with def"),
        ("def train(x):\n    return '${x}'\n", "holds \\$\\{"),
        (f"def train(x):\n    return len('{'long' * 4000}')\n", "has more than 10,000 characters"),
    ],
)
def test_a_notebooks_function_that_cannot_travel_is_refused(
    notebook: Callable[..., types.ModuleType], cell: str, why: str
) -> None:
    main = notebook(cell)
    with pytest.raises(InputError, match=why) as error:
        program_of(main.train)
    assert "\n" not in str(error.value)
    if "def train" in cell:
        assert "%%writefile train.py" in str(error.value)


def test_a_source_that_is_lost_is_refused(notebook: Callable[..., types.ModuleType]) -> None:
    main = notebook("def train(x):\n    return x\n")
    del linecache.cache["<cell 0>"]
    with pytest.raises(InputError, match="its source cannot be read"):
        program_of(main.train)


SPACE = {
    "lr": Parameter(type="float", low=0, high=1),
    "kind": Parameter.model_validate({"type": "categorical", "choices": ["a", "b"]}),
    "depth": Parameter.model_validate({"type": "int", "low": 1, "high": 2, "when": {"kind": "a"}}),
}


def stepwise(params: dict[str, Any]) -> Any:
    yield params["lr"]


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda lr, kind, depth: 0, "depth exists only under a condition"),
        (lambda lr, kind, depth=1, width=3: 0, None),
        (lambda lr, kind, depth=1, *, width: 0, "asks for width, which is no parameter"),
        (lambda lr, kind: 0, "does not take depth, so it would change nothing"),
        (lambda lr, **others: 0, None),
        (lambda params: 0, None),
        (lambda params, seed: 0, None),
        (lambda lr, /, **others: 0, "lr is positional only"),
        (lambda trial: 0, "say how many a full trial has: max_steps"),
        (stepwise, "say how many a full trial has: max_steps"),
    ],
)
def test_a_function_must_take_what_is_searched(
    function: Callable[..., Any], why: str | None
) -> None:
    if why is None:
        check_arguments(function, SPACE, max_steps=False)
        return
    with pytest.raises(InputError, match=why):
        check_arguments(function, SPACE, max_steps=False)


def test_steps_may_be_said() -> None:
    check_arguments(stepwise, SPACE, max_steps=True)
    assert os.environ.get("HPSEARCH_LOADING") is None
