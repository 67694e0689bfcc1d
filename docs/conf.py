"""How Sphinx builds the site: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reference  # noqa: E402

import hpsearch  # noqa: E402

project = "hpsearch"
copyright = "the hpsearch developers"
version = release = hpsearch.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["results/*"]
default_role = "code"  # docstrings write `name`
smartquotes = False  # a quoted value is shown as it is typed
html_theme = "furo"
html_title = f"hpsearch {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False


def setup(app: object) -> None:
    """Write the tables of settings into the pages that ask for them."""
    connect = app.connect  # type: ignore[attr-defined]
    connect("source-read", _write_settings)
    connect("autodoc-process-docstring", _keep_colon, priority=400)


def _write_settings(_app: object, _page: str, source: list[str]) -> None:
    source[0] = reference.pages(source[0])


def _keep_colon(
    _app: object, what: str, _name: str, _it: object, _o: object, text: list[str]
) -> None:
    """Keep napoleon from taking a property's words before a colon for its type."""
    if what == "property":
        text[:0] = ["..", ""]  # an empty comment; the words follow as a paragraph
