"""The page of algorithms says what the registry says."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_registry_gives():
    made = runpy.run_path(str(DOCS / "make_algorithm_table.py"))["page"]()
    assert (DOCS / "algorithms.md").read_text(encoding="utf-8") == made
