"""What is not loaded: measured in fresh processes, where nothing else has loaded it already."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cases import images_folder, write_study
from tests.support.models import write_support

HEAVY = ("numpy", "torch", "optuna", "scipy", "sklearn", "PIL", "plotly", "sqlalchemy")
EXTRAS = {"ray", "psycopg"}


def loaded_by(code: str) -> set[str]:
    """Run code in a fresh process and return the top-level packages it has loaded."""
    program = f"import sys\n{code}\nprint('loaded', *sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "loaded"
    return {name.split(".")[0] for name in last[1:]}


def loaded_by_command(*arguments: str) -> set[str]:
    """Run the command line in a fresh process and return the packages it has loaded."""
    return loaded_by(
        f"sys.argv = ['hpsearch', *{list(arguments)!r}]\n"
        "from hpsearch.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )


TRAIN = """
import torch
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.optimiser import LayerwiseOptimiser
from tests.support.trainings import tiny_config

for kind in ("sgd", "adamw"):
    config = tiny_config(optimiser=kind)
    network = SiameseNetwork(config.shape())
    optimiser = LayerwiseOptimiser(network, config)
    network.encode(torch.rand(2, 1, 20, 20)).sum().backward()
    optimiser.step()
"""


def test_training_loads_torch_without_its_compiler() -> None:
    """With it every worker would start a second later, and hold 100 MB more."""
    loaded = loaded_by(f"{TRAIN}\nassert 'torch._dynamo' not in sys.modules")
    assert {"torch", "numpy"} <= loaded
    assert not loaded & {"sympy", "optuna"}


def test_the_package_alone_loads_nothing_heavy() -> None:
    assert not loaded_by("import hpsearch") & {*HEAVY, "pydantic", "typer", "ruamel"}


def test_the_drivers_side_leaves_torch_out() -> None:
    loaded = loaded_by("import hpsearch.app, hpsearch.cli, hpsearch.data, hpsearch.execution")
    assert "hpsearch" in loaded
    assert "torch" not in loaded


def test_recognising_loads_torch_and_nothing_slow_beside_it(tmp_path: Path) -> None:
    support = write_support(tmp_path / "support", {"roof": ("roof", 1), "bar": ("bar", 1)})
    query = support / "roof" / "0.png"
    loaded = loaded_by_command("recognise", "--support", str(support), str(query))
    assert "torch" in loaded
    assert not loaded & {"optuna", "scipy", "sklearn", "sympy", "plotly", "sqlalchemy"}


def test_driving_a_search_leaves_torch_out() -> None:
    loaded = loaded_by(
        "import hpsearch.driver.driver, hpsearch.samplers.ask_process, hpsearch.samplers.suggest\n"
        "import hpsearch.cli.main, hpsearch.app.search, hpsearch.execution.local"
    )
    assert "optuna" in loaded
    assert "torch" not in loaded
    assert not loaded & EXTRAS


def test_a_search_on_this_machine_loads_neither_ray_nor_psycopg(tmp_path: Path) -> None:
    given = ("--data", images_folder(tmp_path / "images"), "--output", tmp_path / "s")
    study = write_study(tmp_path)
    loaded = loaded_by_command("search", *map(str, (study, *given)), "--trials", "1")
    assert "optuna" in loaded
    assert (tmp_path / "s" / "study.db").exists()
    assert not loaded & EXTRAS


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["search", "--help"], ["data", "--help"]]
)
def test_help_is_instant(arguments: list[str]) -> None:
    loaded = loaded_by_command(*arguments)
    assert "typer" in loaded
    assert not loaded & set(HEAVY)
