"""The diagram of ranks: its bars, and that both kinds of file show it."""

import itertools
import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from imbalance_splits.errors import InputError
from ndcl_domainbed.results.rank_diagram import draw, draw_on

RANKS = pd.Series({"ERM": 3.25, "MMD": 1.5, "NDCL": 2.0, "IRM": 3.25})
NAME = 'Büro_%$&<"\\{x}'


def p_of(ranks, differing=()) -> pd.DataFrame:
    """Return p of 1, and of 0.01 for the pairs that differ."""
    p = pd.DataFrame(1.0, ranks.index, ranks.index)
    for one, other in differing:
        p.loc[one, other] = p.loc[other, one] = 0.01
    return p


def texts(drawn: bytes) -> list[str]:
    nodes = ElementTree.fromstring(drawn).iter()
    return [node.text.strip() for node in nodes if node.tag.endswith("}text")]


@pytest.mark.parametrize(
    ("differing", "bars"),
    [
        ([], [[1.5, 2.0, 3.25, 3.25]]),
        ([("MMD", "ERM")], [[1.5, 2.0, 3.25], [2.0, 3.25, 3.25]]),
        # no bar where ranks are close but the pair differs
        ([("MMD", name) for name in ("NDCL", "ERM", "IRM")], [[2.0, 3.25, 3.25]]),
    ],
)
def test_bars_join_what_does_not_differ_in_any_pair(differing, bars):
    axes = Figure().add_subplot()
    draw_on(axes, RANKS, p_of(RANKS, differing), "NDCL")
    drawn = [sorted(line.get_xdata()) for line in axes.lines if np.ptp(line.get_ydata()) == 0]
    assert sorted(drawn) == bars


def test_every_name_stands_once_and_the_reference_in_bold():
    ranks = RANKS.rename({"IRM": "NDCL (beta=0)"})
    drawn = draw(ranks, p_of(ranks), "NDCL", "svg")
    labels = [text for text in texts(drawn) if " " in text]
    assert sorted(labels) == ["3.25 ERM", "3.25 NDCL (beta=0)", "MMD 1.50", "NDCL 2.00"]
    assert drawn.count(b"font-weight: 700") + drawn.count(b"bold") == 1


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_file_is_the_same_every_time_and_takes_any_name(kind, start):
    ranks = pd.Series({NAME: 1.0, "NDCL": 2.0})
    drawn = draw(ranks, p_of(ranks), "NDCL", kind)
    assert drawn.startswith(start)
    assert draw(ranks, p_of(ranks), "NDCL", kind) == drawn
    assert kind == "pdf" or f"{NAME} 1.00" in texts(drawn)


PRINT_DRAWN = """
import sys
from tests.results.test_rank_diagram import many_bars
sys.stdout.buffer.write(many_bars())
"""


def many_bars() -> bytes:
    """Return the diagram of a dozen rows, where only near neighbors do not differ."""
    ranks = pd.Series({f"row {number}": 1.0 + number for number in range(12)})
    pairs = itertools.combinations(ranks.index, 2)
    differing = [(a, b) for a, b in pairs if ranks[b] - ranks[a] > 3]
    return draw(ranks, p_of(ranks, differing), "row 0", "svg")


def test_the_file_is_the_same_in_another_process():
    seed = {**os.environ, "PYTHONHASHSEED": "1"}  # sets of strings have another order
    drawn = subprocess.check_output([sys.executable, "-c", PRINT_DRAWN], env=seed)
    assert drawn == many_bars()


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="pip install matplotlib"):
        draw(RANKS, p_of(RANKS), "NDCL", "svg")
