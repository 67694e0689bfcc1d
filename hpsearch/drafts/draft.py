"""`hpsearch init`: writes a study file and its space file, with comments. Runs nothing.

A `Draft` comes from a folder of images, a command, or a sweep of another program; `write` checks
it as a search would, and never replaces a file unless it is told to.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpsearch.configfile import parse_yaml
from hpsearch.errors import InputError, one_line
from hpsearch.paths import shell_word, write_atomically
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import StudyConfig

TRIALS = 50
SPACE = "SPACE-FILE"
"""Stands in a draft for the name of the space file."""
COMMAND_HEAD = """\
# A search over the parameters of a program. The program reports its values: docs/trainer.md.
#   hpsearch check {file}     runs the program for a moment and says what it keeps
#   hpsearch search {file}    searches; the same command continues
"""
DIRECTORY = "  directory: HERE\n"
"""Stands in a draft for the line that says where the command runs, if one is needed."""
SPACE_HEAD = """\
# What is searched: a range for each parameter. Types: float, int, categorical, bool, fixed.
#   log: true               draws the logarithm, for what may differ by factors
#   step: 16                keeps to multiples
#   when: {optimiser: sgd}  the parameter exists only while another one has this value
"""


@dataclass
class Draft:
    """A study file and a space file that are not written yet.

    Args:
        name: Of the study; the files are called after it.
        study: Text of the study file; `SPACE` stands for the name of the space file.
        space: Text of the space file.
        notes: What the user should know, one line each.
    """

    name: str
    study: str
    space: str
    notes: list[str] = field(default_factory=list)


@dataclass
class Searched:
    """One parameter of a drafted space.

    Args:
        entry: Its range, as a space file has it.
        comment: Why it has this range; empty for none.
    """

    entry: Mapping[str, Any]
    comment: str = ""


def flow(value: Any) -> str:
    """Return a plain value as YAML on one line."""
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = True, 10**6, False
    stream = io.StringIO()
    yaml.dump(value, stream)
    text = stream.getvalue().removesuffix("\n").removesuffix("\n...")
    try:
        same = parse_yaml(f"value: {text}".encode(), "draft") == {"value": value}
    except (InputError, ValueError):
        same = False
    return text if same else json.dumps(value)  # which quotes every text


def space_text(name: str, parameters: Mapping[str, Searched], head: str = SPACE_HEAD) -> str:
    """Return a commented space file."""
    lines = [head + f"name: {flow(name)}", "parameters:"]
    for key, one in parameters.items():
        comment = f"  # {one.comment}" if one.comment else ""
        lines.append(f"  {flow(key)}: {flow(dict(one.entry))}{comment}")
    return "\n".join(lines) + "\n"


def command_text(
    name: str,
    words: Iterable[str],
    max_steps: int,
    *,
    steps_comment: str = "",
    more: Iterable[str] = (),
    trials: int = TRIALS,
    sections: Iterable[str] = (),
) -> str:
    """Return a commented study file for a command.

    Args:
        name: Of the study.
        words: The command.
        max_steps: Steps of a full trial.
        steps_comment: Where that number comes from.
        more: Lines on how its value is read: direction and measure.
        trials: The budget.
        sections: Further lines: sampler, pruner, enqueue.
    """
    said = list(more) or [
        "# direction: maximize   # if larger values are better",
        "# measure: accuracy     # what the value is",
    ]
    return "\n".join(
        [
            COMMAND_HEAD + f"name: {flow(name)}",
            "trainer:",
            "  # ${args} becomes --NAME VALUE for each parameter, ${args_equals} --NAME=VALUE.",
            f"  command: {flow(list(words))}",
            f"{DIRECTORY}  max_steps: {max_steps}  # {steps_comment or 'steps of a full trial'}",
            *said,
            f"space: {SPACE}",
            f"budget: {{trials: {trials}}}  # or hours; the first limit that is reached ends it",
            *sections,
            "# workers: 2            # trials at the same time; by default one per core",
            "# seed: 0               # decides everything random",
            "",
        ]
    )


def draft_images(data: Path) -> Draft:
    """Return the draft for a search on images, as `search --data` would begin it.

    Raises:
        InputError: There are no usable images.
    """
    from hpsearch.shipped_files import find_shipped
    from hpsearch.sources.find import find_dataset
    from hpsearch.study.default_study import default_study

    shipped = default_study(data, None)
    dataset = find_dataset("folder" if shipped == "own" else "auto", data)
    name = data.resolve().stem or shipped
    study = find_shipped("studies", shipped).read_text(encoding="utf-8").splitlines()
    config = StudyConfig.from_values(parse_yaml("\n".join(study).encode(), shipped), shipped)
    space = find_shipped("search_spaces", str(config.space)).read_text(encoding="utf-8")
    lines = [
        one_line(f"# A search on the images in {shell_word(data)}: {dataset.description}."),
        f"#   hpsearch search {{file}} --data {shell_word(data)}   searches and continues",
    ]
    for line in study:
        key = line.partition(":")[0]
        lines += [f"# {IMAGES[key]}"] if key in IMAGES else []
        if key in ("name", "space"):
            line = f"{key}: {flow(name) if key == 'name' else SPACE}"
        if key != "description" and not line.startswith("#"):
            lines.append(line)
    notes = [*([dataset.notice] if dataset.notice else []), *dataset.notices]
    return Draft(name, "\n".join(lines) + "\n", space, notes)


IMAGES = {
    "dataset": "folder is own images; --data says where they are.",
    "space": "What is searched; its parameters replace those under trial.",
    "trial": "The network and its training, where the space does not say otherwise.",
    "objective": "dense: the error over all one-shot tasks of the validation classes.",
    "sampler": "What proposes the next trial.",
    "pruner": "Ends trials early that fall behind.",
    "budget": "The first limit that is reached ends the search.",
    "enqueue": "What is tried first; encoder is the shipped model as it is.",
}
"""What the keys of a shipped study mean, for the file that `init --data` writes."""


def write(draft: Draft, output: Path | None, *, force: bool) -> tuple[Path, Path]:
    """Check a draft as a search would, and write both files.

    Args:
        draft: What to write.
        output: The study file; None means NAME.yaml in the current folder.
        force: Whether files that are there are replaced.

    Returns:
        The study file and the space file.

    Raises:
        InputError: A file is there, or the draft cannot be searched.
        EnvironmentFailure: A file cannot be written.
    """
    path = output or Path(f"{draft.name}.yaml")
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"--output {path}: write a name that ends in .yaml")
    beside = path.with_name(f"{path.stem}-space{path.suffix}")
    here = os.path.relpath(Path.cwd(), path.parent.resolve())
    place = "" if here == os.curdir else f"  directory: {flow(here)}  # where it was typed\n"
    study = draft.study.replace("{file}", shell_word(path)).replace(SPACE, flow(beside.name))
    study = study.replace(DIRECTORY, place)
    config = StudyConfig.from_values(parse_yaml(study.encode(), str(path)), str(path))
    space = SearchSpace.from_values(parse_yaml(draft.space.encode(), str(beside)), str(beside))
    space.check(config.recipe)
    for one in (path, beside):
        if one.is_dir():
            raise InputError(f"{one}: is a folder; name another --output")
        if not force and (one.exists() or one.is_symlink()):
            raise InputError(f"{one}: is there; name another --output, or replace it with --force")
    write_atomically(beside, draft.space)
    write_atomically(path, study)
    return path, beside
