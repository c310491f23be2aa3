"""How Sphinx builds the guide: `make docs`.

Nothing is fetched, when it is built or when it is read: the theme uses the reader's own fonts, and
formulas are text.
"""

from __future__ import annotations

import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout need not be installed

from ndcl_domainbed.version import __version__

project = "ndcl-domainbed"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = [".*"]
myst_heading_anchors = 3
smartquotes = False  # they would change quotes inside commands that stand in the text

# References that lead nowhere are errors, but for the libraries whose pages are not read here.
nitpicky = True
_LIBRARIES = (
    r"(torch|nn|np|numpy|pd|pandas|collections|pathlib|argparse|PIL|Image)\..*|Tensor|Figure"
)
_NOT_DOCUMENTED = "Run|Batch"
"""Types in signatures that have no place in the guide."""
nitpick_ignore_regex = [("py:.*", _LIBRARIES), ("py:class", _NOT_DOCUMENTED)]

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 90

html_theme = "furo"
html_title = f"ndcl-domainbed {__version__}"
html_static_path = ["static"]
html_css_files = ["guide.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False


def setup(app: Any) -> None:
    """Register what the docstrings need."""
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("missing-reference", find_by_last_name)


def escape_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep |C| and |u - v| from being read as references to substitutions."""
    lines[:] = [re.sub(r"(?<![\\`])\|(?!`)", r"\\|", line) for line in lines]


def find_by_last_name(app: Any, env: Any, node: Any, shown: Any) -> Any:
    """Resolve a name from another module, as in :func:`split_domain`, if only one object has it.

    What exists and is not in the API stays text; None, for what does not exist, is a warning.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    last = target.rpartition(".")[2]
    domain = env.get_domain("py")
    found = [name for name in domain.objects if name.rpartition(".")[2] == last]
    if len(found) == 1:
        kind = node["reftype"]
        return domain.resolve_xref(env, node["refdoc"], app.builder, kind, found[0], node, shown)
    return shown if exists(target) or exists(f"{node.get('py:module')}.{target}") else None


def exists(name: str) -> bool:
    """Tell whether ``name`` is an object of this project, by importing it."""
    if not name.startswith(("ndcl_domainbed.", "imbalance_splits.")):
        return False
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError):
        return False
    return True
