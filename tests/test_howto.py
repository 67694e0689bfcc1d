"""What the how-to pages show is run: commands, Python and changes of the code.

In a page, a block marked `sh` runs here as it stands. One marked `bash` needs a GPU, a cluster or
much time: of it only the names of commands and options are checked. A `diff` is applied to a copy
of the source, where the contract tests that the page names run.
"""

from __future__ import annotations

import ast
import functools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from hpsearch.cli.main import app
from hpsearch.paths import cache_folder
from tests.pages import DOCS, ROOT, Block, Shell, blocks, missing
from tests.test_docs import options
from tests.test_readme import SMALL, own_images

PAGES = sorted(str(path.relative_to(DOCS)) for path in (DOCS / "howto").glob("*.md"))
COMMANDS = dict(options(typer.main.get_command(app)))
COPIED = ("hpsearch", "tests", "search_spaces", "studies", "docs")
LINK = re.compile(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)")
TO_COME = re.compile(r"internals/|architecture\.md|faults\.md")
"""Pages that the site adds beside these."""
QUOTED = re.compile(r"^### `([^`]+)`$", re.MULTILINE)
OTHERS = {
    "tests/test_floors.py",
    "No module named 'pandas'",
    "KeyError: 'Record does not exist.'",
    'state == "complete"',
}
"""What tables of mistakes quote that no text of the program holds."""
FEW = "order or checkpoint_is_there or after_each_epoch or close"
"""Which contract tests run on the page's executor: all take as long as on the local one."""


def shown(page: str, language: str) -> list[Block]:
    return [block for block in blocks(page) if block.language == language]


def command_of(words: list[str]) -> str:
    """Return the command that the words after `hpsearch` begin with."""
    names = [" ".join(words[:length]) for length in (2, 1)]
    return next(name for name in names if name in COMMANDS)


@pytest.mark.parametrize("page", [*PAGES, "tutorial.md", "troubleshooting.md", "python.md"])
def test_every_command_shown_has_the_options_that_it_is_given(page: str) -> None:
    for block in (*shown(page, "sh"), *shown(page, "bash")):
        for line in block.commands:
            words = shlex.split(line)
            if "hpsearch" in words:
                words = words[words.index("hpsearch") + 1 :]
                command = command_of(words)
                given = {word.split("=")[0] for word in words if word.startswith("--")}
                assert given <= {*COMMANDS[command]}, line


@pytest.mark.parametrize("page", [*PAGES, "tutorial.md", "troubleshooting.md", "glossary.md"])
def test_every_page_linked_to_is_there(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for target in LINK.findall(text):
        if not target.startswith("http") and not TO_COME.search(target):
            assert (DOCS / page).parent.joinpath(target).resolve().is_file(), target


class Copy:
    """A copy of the source that a page's changes are applied to."""

    def __init__(self, folder: Path) -> None:
        """Copy what the tests of the search need."""
        self.folder = folder
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", "*.png")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)

    def change(self, page: str) -> None:
        """Write the files that a page shows, and apply its diffs."""
        text = (DOCS / page).read_text(encoding="utf-8")
        for name, content in re.findall(
            r"Save this as `(hpsearch/[^`]+)`:\n\n```python\n(.*?)```", text, re.DOTALL
        ):
            assert not (self.folder / name).exists()
            (self.folder / name).write_text(content)
        for block in shown(page, "diff"):
            head, *hunks = block.text.split("@@\n")
            path = self.folder / head.removeprefix("+++ ").strip()
            changed = path.read_text(encoding="utf-8")
            for hunk in hunks:
                lines = hunk.splitlines(keepends=True)
                before = "".join(line[1:] for line in lines if line[0] != "+")
                assert changed.count(before) == 1, (page, path, before)
                changed = changed.replace(before, "".join(x[1:] for x in lines if x[0] != "-"))
            path.write_text(changed, encoding="utf-8")

    def sources(self) -> dict[Path, str]:
        """Return every Python file's text."""
        return {path: path.read_text(encoding="utf-8") for path in self.folder.rglob("*.py")}

    def python(self, *words: str) -> str:
        """Run Python in the copy; return what it printed."""
        shell = Shell(self.folder / "shell")
        environment = {**shell.environment, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        return done.stdout


ADDING = ["add-a-sampler", "add-a-pruner", "add-an-executor", "add-a-data-set"]


@pytest.mark.parametrize("page", ADDING)
def test_the_changes_that_a_page_shows_fit_the_source(page: str, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    before = copy.sources()
    copy.change(f"howto/{page}.md")
    changed = {path: text for path, text in copy.sources().items() if text != before.get(path)}
    assert len(changed) >= 2
    for path, text in changed.items():
        compile(text, str(path), "exec")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", ADDING[:3])
def test_the_contract_tests_run_on_what_a_page_adds(page: str, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    copy.change(f"howto/{page}.md")
    (tests,) = [
        line for block in shown(f"howto/{page}.md", "bash") for line in block.commands
        if "pytest" in line
    ]  # fmt: skip
    program, *words, name = shlex.split(tests)
    assert program == "python"
    chosen = f"{name} and ({FEW})" if page == "add-an-executor" else name
    printed = copy.python(*words, chosen, "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    found = re.search(r"(\d+) passed", printed)
    assert found, printed
    assert int(found.group(1)) >= 4
    assert "failed" not in printed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_new_data_set_is_found_packed_and_searched_on(tmp_path: Path) -> None:
    page = "howto/add-a-data-set.md"
    copy = Copy(tmp_path / "copy")
    copy.change(page)
    shell = Shell(tmp_path / "shell")
    shell.environment["PYTHONPATH"] = str(copy.folder)
    (shell.folder / "my_drawings").mkdir()
    rng = np.random.default_rng(0)
    labels = [(a, c, d) for a in "ABCDEF" for c in range(6) for d in range(4)]
    np.savez(
        shell.folder / "my_drawings" / "drawings.npz",
        images=rng.integers(0, 256, (len(labels), 105, 105), np.uint8),
        alphabet=np.array([a for a, _, _ in labels]),
        character=np.array([f"{c:02}" for _, c, _ in labels]),
        drawer=np.array([d for _, _, d in labels]),
    )
    (block,) = shown(page, "sh")
    look, search = block.commands
    assert "24 background characters" in shell.run(look)
    assert "6 ways" in shell.run(look)
    printed = shell.run(search)
    assert "drawings: 24 background characters, 6 ways" in printed
    assert "the budget of 1 trial is spent" in printed


@functools.cache
def templates() -> list[str]:
    """Return every text of the program, with … where it fills something in."""
    found = []
    for path in (ROOT / "hpsearch").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def is_said(message: str, known: list[str]) -> bool:
    """Say whether one text of the program holds the fixed parts of a message, in their order."""
    fixed = [part.strip() for part in message.removeprefix("NOTE: ").split("…")]
    wanted = re.compile(".*".join(re.escape(f) for f in fixed if f.strip(":;")), re.DOTALL)
    return any(wanted.search(template) for template in known)


def test_every_message_in_troubleshooting_is_one_that_the_program_prints() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    messages = QUOTED.findall(text)
    assert len(messages) >= 20
    assert len(messages) == text.count("\n### ")
    known = templates()
    for message in messages:
        assert is_said(message, known), message
    assert not is_said("the study is held by nobody", known)


@pytest.mark.parametrize("page", PAGES)
def test_what_goes_wrong_quotes_messages_of_the_program_or_of_others(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    _, _, table = text.partition("## What goes wrong")
    assert table, "every how-to says what goes wrong"
    known = templates()
    for row in re.findall(r"^\| (.+?) \|", table, re.MULTILINE)[1:]:
        for quoted in re.findall(r"`([^`]+)`", row):
            assert quoted in OTHERS or is_said(quoted, known), quoted


TERMS = (
    *(
        "search space",
        "box",
        "ways",
        "shots",
        "support",
        "query",
        "drawer",
        "alphabet",
        "background",
    ),
    *("evaluation", "sealed", "opening", "task", "trial", "rung", "bracket", "start trial"),
    *("dense error", "certificate", "ink"),
)


def test_the_glossary_explains_each_term_in_a_few_sentences() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    terms = dict(re.findall(r"^## (.+)\n\n((?:.+\n)+)", text, re.MULTILINE))
    assert {*TERMS} <= terms.keys()
    assert [*terms] == sorted(terms)
    for term, meaning in terms.items():
        assert 1 <= len(re.findall(r"[.:](?:\s|$)", meaning)) <= 4, term


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A folder with what the pages on use start from: pictures, and a model of a tiny search."""
    made = Shell(tmp_path_factory.mktemp("pages"))
    own_images(made.folder / "my_images")
    (drawing,) = shown("tutorial.md", "python")
    (made.folder / "draw.py").write_text(drawing.text)
    made.run("python draw.py && cp my_images/icon*7/L.png new_image.png")
    return made


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", ["own-images", "resume-elsewhere", "cluster"])
def test_the_commands_of_a_page_run_and_print_what_it_shows(page: str, shell: Shell) -> None:
    if page == "cluster":
        pytest.importorskip("ray", reason="the extra hpsearch[ray] is not installed")
    few = {"search": f"--trials 3 --workers 1 {shlex.join(SMALL)}", "confirm": "--top 2 --seeds 2"}
    printed = ""
    for block in blocks(f"howto/{page}.md"):
        for line in block.commands if block.language == "sh" else ():
            name = line.split()[1]
            small = few.get(name, "") if page == "own-images" else ""
            printed += shell.run(f"{line} {small}")
        if block.language == "text":
            shown = block.text.replace("/home/me/.cache/hpsearch", str(cache_folder()))
            assert missing(shown, printed) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_deployed_model_answers_in_the_pages_words(shell: Shell) -> None:
    if not (shell.folder / "runs/mine/model").exists():
        test_the_commands_of_a_page_run_and_print_what_it_shows("own-images", shell)
    first, second = shown("howto/deploy.md", "sh")
    for line in (*first.commands, *second.commands):
        printed = shell.run(line)
    assert '"ranked"' in printed
    assert '"none_of_these": false' in printed
    (program,) = shown("howto/deploy.md", "python")
    (shell.folder / "program.py").write_text(program.text)
    assert re.fullmatch(r"(arrow|cross|house|table) [01]\.\d{3}\n", shell.run("python program.py"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_notebooks_cells_run_one_after_the_other(shell: Shell) -> None:
    cells = shown("howto/notebooks.md", "python")
    search, *frames = [cell.text for cell in cells]
    assert "pandas" in frames[0]
    assert "optuna" in frames[-1]
    (csv,) = shown("howto/notebooks.md", "sh")
    (shell.folder / "search.py").write_text(search)
    assert re.search(r"^\d 0\.\d+$", shell.run("python search.py"), re.MULTILINE)
    (line,) = csv.commands
    shell.run(line)
    assert (shell.folder / "trials.csv").read_text().startswith("trial,state,validation_error,")
    pytest.importorskip("pandas", reason="pandas is not installed")
    (shell.folder / "cells.py").write_text("".join([search, *frames]))
    printed = shell.run("python cells.py")
    for word in ("conv1.learning_rate", "count", "COMPLETE"):
        assert word in printed
