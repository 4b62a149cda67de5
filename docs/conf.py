"""How Sphinx builds the documentation: ``sphinx-build -W -b html docs OUT``, without a network."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

# Autodoc imports Airflow, which writes its settings into its home.
_home = tempfile.mkdtemp(prefix="kaleyra-docs-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=_home,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_home}/airflow.db",
)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from airflow_provider_kaleyra import __version__  # noqa: E402

project = "airflow-provider-kaleyra"
author = "the authors of airflow-provider-kaleyra"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
add_module_names = False

html_theme = "furo"
html_title = f"{project} {version}"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["pages.css"]


def _even_out(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Bring a docstring that is put together from two to one margin."""
    margins = [len(line) - len(line.lstrip()) for line in lines if re.match(r"\s*:\w+.*:", line)]
    if what == "class" and margins and (margin := min(margins)):
        lines[:] = [re.sub(rf"^ {{0,{margin}}}", "", line) for line in lines]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _even_out)
