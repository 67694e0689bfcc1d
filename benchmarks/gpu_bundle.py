"""Fill build/gpu-bundle with what a card's machine without a network lacks: `make gpu-bundle`.

The machine brings Python 3.12 with torch, numpy and scipy. The folder holds the other packages
that a search needs, unpacked, and Omniglot. Then, in the checkout, there:
`PYTHONPATH=.:build/gpu-bundle/python python3 -m benchmarks.gpu --data build/gpu-bundle/omniglot
--out DIR`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hpsearch.sources.omniglot import PARTS, RUNS

BUNDLE = Path("build") / "gpu-bundle"
MAX_MB = 60
PACKAGES = (
    "Mako", "MarkupSafe", "PyYAML", "Pygments", "SQLAlchemy", "alembic", "annotated-doc",
    "annotated-types", "click", "colorlog", "markdown-it-py", "mdurl", "optuna", "packaging",
    "pillow", "pydantic", "pydantic_core", "rich", "ruamel.yaml", "safetensors", "shellingham",
    "tqdm", "typer", "typing-inspection", "typing_extensions",
)  # fmt: skip
"""What a search imports, without torch, numpy and scipy, which are too large."""
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
SPARE = (
    "**/tests", "**/testing", "**/__pycache__", "sqlalchemy/**/*.so", "PIL/_avif*",
    "PIL/_imagingft*", "pillow.libs/libavif*", "pillow.libs/libharfbuzz*",
    "pillow.libs/libfreetype*",
)  # fmt: skip
"""What no search needs: tests, formats of images, SQLAlchemy's compiled copies of its modules."""


def main() -> None:
    """Fill the folder; exit 1 where it grows too large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("HPSEARCH_DATA"))
    parser.add_argument("--python", default="3.12", help="version of Python on the machine")
    options = parser.parse_args()
    if options.data is None or not Path(options.data).is_dir():
        sys.exit("DATA: no such folder; name the one that holds Omniglot's zips")
    shutil.rmtree(BUNDLE, ignore_errors=True)
    copy_data(Path(options.data), BUNDLE / "omniglot")
    unpack_packages(BUNDLE / "python", options.python)
    size = sum(path.stat().st_size for path in BUNDLE.rglob("*") if path.is_file()) / 1e6
    sys.stdout.write(f"{BUNDLE}: {size:.1f} MB\n")
    sys.exit(size > MAX_MB)


def copy_data(data: Path, goal: Path) -> None:
    """Copy the zips that a search needs; the sealed runs stay behind."""
    goal.mkdir(parents=True)
    for name in {*PARTS} - {RUNS}:
        archive = data / f"{name}.zip"
        if not archive.is_file():
            sys.exit(f"{archive}: no such file; DATA must hold Omniglot's zips")
        shutil.copy(archive, goal)


def unpack_packages(goal: Path, version: str) -> None:
    """Unpack the wheels of a Python on Linux, at the versions of constraints.txt."""
    arguments = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    arguments += ["--no-compile", "--implementation", "cp", "--python-version", version]
    for platform in PLATFORMS:
        arguments += ["--platform", f"{platform}_x86_64"]
    command = [sys.executable, "-m", "pip", "install", "--target", str(goal), *arguments]
    subprocess.run([*command, "-c", "constraints.txt", *PACKAGES], check=True)
    for path in [path for pattern in SPARE for path in goal.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
