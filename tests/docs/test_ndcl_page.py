"""The table of NDCL's hyper-parameters says what the algorithm declares."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.algorithms.ndcl import NDCL
from tests.docs.commands import ROOT


def table_rows():
    """Return the cells of each row of the table, by the hyper-parameter's name."""
    page = (ROOT / "docs" / "ndcl.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split("|") for line in page.splitlines() if line.startswith("| `")]
    return {name.strip(" `"): [cell.strip() for cell in cells] for name, *cells in rows}


ROWS = table_rows()


def test_the_table_has_every_hyper_parameter_in_order():
    assert list(ROWS) == list(NDCL.HPARAMS)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_has_the_default_the_range_and_the_choices(name):
    default, drawn, meaning, place = ROWS[name]
    declared = NDCL.HPARAMS[name]
    value = declared.default_for("PACS")
    assert default == (f"`{value}`" if isinstance(value, str) else json.dumps(value))
    assert meaning and place
    for choice in declared.choices:
        assert f"`{choice}`" in default + meaning
    if not drawn:
        assert declared.draw is None
        return
    base, low, high = re.fullmatch(r"(10\^)?U\(([\d.-]+), ([\d.-]+)\)", drawn).groups()
    for seed in range(1, 4):
        exponent = np.random.RandomState(seed_hash(seed, name)).uniform(float(low), float(high))
        wanted = 10**exponent if base else exponent
        assert declared.random_for("PACS", name, seed) == pytest.approx(wanted)


DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_registry_gives():
    made = runpy.run_path(str(DOCS / "make_algorithm_table.py"))["page"]()
    assert (DOCS / "algorithms.md").read_text(encoding="utf-8") == made
