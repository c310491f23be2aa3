"""The page of algorithms says what the registry says."""

import runpy
from pathlib import Path

from ndcl_domainbed import registry

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_registry_gives():
    made = runpy.run_path(str(DOCS / "make_algorithm_table.py"))["page"]()
    assert (DOCS / "algorithms.md").read_text(encoding="utf-8") == made


def test_every_algorithm_names_its_paper():
    page = (DOCS / "algorithms.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("|")}
    for name in registry.algorithm_names():
        assert any(year in rows[name] for year in map(str, range(1998, 2027))), name
