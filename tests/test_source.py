"""What no source file may hold: too many lines, code from data, shells, global random state.

Read by AST, names followed through `import … as`; each rule is shown to fire on a planted source.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
PACKAGE = HERE / "hpsearch"
MAX_LINES = 400

RUNS_DATA = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
"""Modules that can run code out of a file; YAML is read by ruamel's safe loader."""
RUNS_TEXT = {":eval", ":exec", ":compile", "builtins.eval", "builtins.exec"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}

NUMPY_MAY = {"Generator", "BitGenerator", "SeedSequence", "default_rng"}
NUMPY_MAY |= {"PCG64", "PCG64DXSM", "Philox", "SFC64", "MT19937"}
TORCH_SEEDS = {"manual_seed", "seed", "set_rng_state", "cuda.manual_seed", "cuda.manual_seed_all"}
TORCH_SEEDS |= {"random.manual_seed", "random.seed", "cuda.seed", "cuda.seed_all"}
TORCH_DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}
TORCH_DRAWS |= {"poisson", "rand_like", "randn_like", "randint_like"}
TENSOR_DRAWS = {"normal_", "uniform_", "random_", "bernoulli_", "exponential_", "log_normal_"}
TENSOR_DRAWS |= {"geometric_", "cauchy_"}
DROPOUTS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "Dropout"}
DROPOUTS |= {"Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "feature_alpha_dropout"}


def findings(source: str) -> list[str]:
    """Return one line, `LINE: REASON`, for each thing a source may not hold."""
    tree = ast.parse(source)
    names = dict(_imported(tree))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            reasons = list(_import_reasons(node))
        elif isinstance(node, ast.Call):
            reasons = list(_call_reasons(node, _dotted(node.func, names)))
        elif isinstance(node, ast.Attribute):
            reasons = list(_attribute_reasons(_dotted(node, names)))
        else:
            continue
        found += [f"{node.lineno}: {reason}" for reason in reasons]
    return found


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each local name and the dotted name it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Return a name like torch.nn.init.normal_; `:x` is not imported, `?` is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, f":{node.id}")
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return "?"


def _import_reasons(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        name = f"{module}.{alias.name}" if module else alias.name
        if name.split(".")[0] in RUNS_DATA or module in ("skopt.utils",):
            yield f"{name} can run code out of a file"
        yield from _attribute_reasons(name)


def _attribute_reasons(name: str) -> Iterator[str]:
    package, _, last = name.rpartition(".")
    if package == "numpy.random" and last not in NUMPY_MAY:
        yield f"{name} draws from numpy's global random state"
    if package == "random" and last != "Random":
        yield f"{name} draws from Python's global random state"


def _call_reasons(call: ast.Call, name: str) -> Iterator[str]:
    keywords = {k.arg: k.value for k in call.keywords}
    last = name.rpartition(".")[2]
    if name in RUNS_TEXT:
        yield f"{name} runs text"
    if name in SHELLS or _is(keywords.get("shell"), True):
        yield f"{name} starts a shell"
    if name == "torch.load" and not _is(keywords.get("weights_only"), True):
        yield "torch.load without weights_only=True runs code out of the file"
    if "allow_pickle" in keywords and not _is(keywords["allow_pickle"], False):
        yield f"{name} with allow_pickle runs code out of the file"
    if last == "YAML" and _is(keywords.get("typ"), "unsafe"):
        yield "an unsafe YAML loader runs code out of the file"
    if name in ("numpy.random.default_rng", "random.Random") and not (call.args or keywords):
        yield f"{name} without a seed differs on each run"
    yield from _torch_reasons(name, last, keywords)


def _torch_reasons(name: str, last: str, keywords: dict[str | None, ast.expr]) -> Iterator[str]:
    if name.removeprefix("torch.") in TORCH_SEEDS and name.startswith("torch."):
        yield f"{name} sets torch's global random state"
    draws = name.startswith("torch.") and last in TORCH_DRAWS | TENSOR_DRAWS
    method = not name.startswith(("torch.", "numpy.")) and last in TENSOR_DRAWS and "." in name
    inits = name.startswith("torch.nn.init.") and last.endswith(
        ("normal_", "uniform_", "orthogonal_", "sparse_")
    )
    if (draws or method or inits) and "generator" not in keywords:
        yield f"{name} without generator= draws from torch's global random state"
    if name.startswith("torch.nn.") and last in DROPOUTS:
        yield f"{name} draws from torch's global random state"


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and repr(node.value) == repr(value)


def sources(*folders: str) -> list[Path]:
    """Return the Python files of some folders of the project; one that is absent has none."""
    return [path for folder in folders for path in sorted((HERE / folder).rglob("*.py"))]


def too_long(paths: list[Path]) -> list[str]:
    """Return the files above the limit, with their lines."""
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return [f"{path}: {count} lines" for path, count in counts.items() if count > MAX_LINES]


def test_no_file_is_too_long() -> None:
    paths = sources("hpsearch", "tests", "benchmarks")
    assert len(paths) > 80
    assert too_long(paths) == []


def test_a_file_that_is_too_long_is_found(tmp_path: Path) -> None:
    short, long = tmp_path / "short.py", tmp_path / "long.py"
    short.write_text("x = 1\n" * MAX_LINES)
    long.write_text("x = 1\n" * (MAX_LINES + 1))
    assert too_long([short, long]) == [f"{long}: 401 lines"]


@pytest.mark.parametrize(
    "path", sources("hpsearch"), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_a_source_runs_no_data_and_has_no_global_random_state(path: Path) -> None:
    assert findings(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "def f():\n    from pickle import loads",
        "import cloudpickle",
        "from joblib import load",
        "from skopt.utils import load",
        "import yaml\nyaml.load(text)",
        "from yaml import safe_load",
        "eval('1')",
        "x = [exec(code) for code in lines]",
        "import builtins\nbuiltins.eval('1')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "from subprocess import Popen as start\nstart('ls', shell=True)",
        "import os\nos.system('ls')",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import torch\ntorch.load(path, weights_only=flag)",
        "from torch import load\nload(path)",
        "import torch as t\nt.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, allow_pickle=flag)",
        "from ruamel.yaml import YAML\nYAML(typ='unsafe')",
        "import numpy as np\nnp.random.seed(0)",
        "import numpy as np\nx = np.random.rand(3)",
        "import numpy as np\ndraw = np.random.normal",
        "from numpy.random import randint",
        "from numpy import random\nrandom.shuffle(x)",
        "import numpy as np\nnp.random.default_rng()",
        "import random\nrandom.random()",
        "from random import choice",
        "import random\nrandom.Random()",
        "import torch\ntorch.manual_seed(0)",
        "import torch\ntorch.cuda.manual_seed_all(0)",
        "from torch import manual_seed\nmanual_seed(0)",
        "import torch\ntorch.rand(3)",
        "import torch\ntorch.randn(3, device='cpu')",
        "from torch import randperm\nrandperm(3)",
        "import torch\ntorch.rand_like(x)",
        "weights.normal_(0, 1)",
        "self.weight.data.uniform_()",
        "import torch\ntorch.empty(3).uniform_()",
        "from torch import nn\nnn.init.xavier_uniform_(w)",
        "from torch.nn import functional\nfunctional.dropout(x)",
        "from torch import nn\nnn.Dropout(0.5)",
    ],
)
def test_a_planted_source_is_found(source: str) -> None:
    assert len(findings(source)) >= 1
    lines = source.count("\n") + 1
    assert all(1 <= int(line.split(":")[0]) <= lines for line in findings(source))


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nnp.random.default_rng(3).normal()",
        "import numpy as np\nx: np.random.Generator = np.random.Generator(np.random.PCG64(3))",
        "import numpy as np\nnp.load(path, allow_pickle=False)\nnp.load(path, mmap_mode='r')",
        "import random\nrandom.Random(3).random()",
        "import torch\ntorch.rand(3, generator=g)\nx.normal_(0, 1, generator=g)",
        "import torch\ntorch.Generator().manual_seed(3)",
        "import torch\ntorch.load(path, weights_only=True)",
        "import safetensors.torch\nsafetensors.torch.load(content)",
        "from ruamel.yaml import YAML\nYAML(typ='safe').load(text)",
        "import subprocess\nsubprocess.run(['ls'], shell=False)",
        "random = make('random')\nrandom.draw(3)",
        "import re\nre.compile('x')\nmodel.eval()\nself.random.choice(x)\nchance.random(3)",
        "from torch import nn\nnn.init.normal_(w, generator=g)\nnn.init.zeros_(b)",
    ],
)
def test_a_harmless_source_is_not_found(source: str) -> None:
    assert findings(source) == []


@pytest.mark.parametrize("path", sources("tests"), ids=lambda path: str(path.relative_to(HERE)))
def test_oa3_no_limit_of_a_test_grows_with_the_load(path: Path) -> None:
    """What is waited for is an event; a time of a core is compared, not one on the clock."""
    load = "get" + "loadavg"
    assert load not in path.read_text(encoding="utf-8")


def test_oa7_no_text_file_depends_on_the_locale() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                text = node.func.attr in ("read_text", "write_text")
                if text and "encoding" not in {word.arg for word in node.keywords}:
                    found.append(f"{path}: {node.lineno}")
    assert found == []
