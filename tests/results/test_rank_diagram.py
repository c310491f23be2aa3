"""The critical-difference diagram: its groups, and that both kinds of file show it."""

from __future__ import annotations

import math
import sys
from xml.etree import ElementTree

import pandas as pd
import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.results.rank_diagram import draw, find_groups
from ndcl_domainbed.results.statistics import Ranks

# Demsar (2006), table 6: four versions of C4.5 on 14 datasets
DEMSAR = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
NAME = 'Büro_%$&<"\\'


def ranks(figures, difference=1.25) -> Ranks:
    return Ranks(pd.Series(figures), 14, math.nan, math.nan, difference)


def texts(drawn: bytes) -> list[str]:
    nodes = ElementTree.fromstring(drawn).iter()
    return [node.text.strip() for node in nodes if node.tag.endswith("}text")]


@pytest.mark.parametrize(
    # section 3.2.2: at 5 % (1.25) no two differ; at 10 % (1.12) C4.5 is worse than the two best
    ("difference", "expected"),
    [(1.25, [(0, 3)]), (1.12, [(0, 2), (2, 3)]), (0.0, [])],
)
def test_bars_are_the_groups_of_the_published_example(difference, expected):
    assert find_groups(sorted(DEMSAR.values()), difference) == expected


def test_every_name_stands_once_and_the_reference_in_bold():
    drawn = draw(ranks(DEMSAR), "C4.5+m", "svg")
    assert texts(drawn)[4:] == [
        "critical difference 1.25", "C4.5+m+cf 1.96", "C4.5+m 2.00", "2.89 C4.5+cf", "3.14 C4.5",
    ]  # fmt: skip
    assert drawn.count(b"font-weight: 700") == 1
    without = draw(ranks({"A": 1.0, "B": 2.0}, math.nan), "A", "svg")
    assert not any("critical" in text for text in texts(without))


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_file_is_the_same_every_time_and_takes_any_name(kind, start):
    drawn = draw(ranks({NAME: 1.0, "NDCL": 2.0}), "NDCL", kind)
    assert drawn.startswith(start)
    assert draw(ranks({NAME: 1.0, "NDCL": 2.0}), "NDCL", kind) == drawn
    assert kind == "pdf" or f"{NAME} 1.00" in texts(drawn)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="pip install matplotlib"):
        draw(ranks(DEMSAR), "NDCL", "svg")
