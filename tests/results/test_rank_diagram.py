"""The critical-difference diagram: its geometry, and that both kinds of file show it."""

from __future__ import annotations

import math
import sys
from xml.etree import ElementTree

import pandas as pd
import pytest

from ndcl_domainbed.results.rank_diagram import Diagram, Stroke, draw, find_groups, to_pdf, to_svg
from ndcl_domainbed.results.statistics import Ranks

# Demsar (2006), table 6: four versions of C4.5 on 14 datasets
DEMSAR = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
NAME = 'Büro_%$&<"\\'


def ranks(figures, difference=1.25) -> Ranks:
    return Ranks(pd.Series(figures), 14, math.nan, math.nan, difference)


def bars(drawn: Diagram) -> list[Stroke]:
    return [stroke for stroke in drawn.strokes if stroke.width == 4]


@pytest.mark.parametrize(
    # section 3.2.2: at 5 % (1.25) no two differ; at 10 % (1.12) C4.5 is worse than the two best
    ("difference", "expected"),
    [(1.25, [(0, 3)]), (1.12, [(0, 2), (2, 3)]), (0.0, [])],
)
def test_bars_are_the_groups_of_the_published_example(difference, expected):
    assert find_groups(sorted(DEMSAR.values()), difference) == expected
    assert len(bars(draw(ranks(DEMSAR, difference), "C4.5"))) == len(expected)


def test_lengths_are_to_the_scale_of_the_axis():
    drawn = draw(ranks(DEMSAR, 1.12), "C4.5")
    (left, _), (right, _) = drawn.strokes[0].points
    one_rank = (right - left) / 3
    (long, short) = bars(drawn)
    assert long.points[1][0] - long.points[0][0] - 8 == pytest.approx(0.929 * one_rank)
    assert short.points[1][0] - short.points[0][0] - 8 == pytest.approx(0.250 * one_rank)
    (shown,) = [stroke for stroke in drawn.strokes if stroke.width == 2]
    assert shown.points[1][0] - shown.points[0][0] == pytest.approx(1.12 * one_rank)


def test_every_name_stands_once_and_the_reference_in_bold():
    drawn = draw(ranks(DEMSAR), "C4.5+m")
    assert [label.text for label in drawn.labels[4:]] == [
        "critical difference 1.25", "C4.5+m+cf 1.96", "C4.5+m 2.00", "2.89 C4.5+cf", "3.14 C4.5",
    ]  # fmt: skip
    assert [label.text for label in drawn.labels if label.bold] == ["C4.5+m 2.00"]
    for label in drawn.labels:
        assert 0 < label.x < drawn.width
        assert 0 < label.y < drawn.height


def test_wide_characters_have_room():
    drawn = draw(ranks({"负样本主导的对比学习算法": 1.2, "ERM": 1.8}), "ERM")
    (label,) = [label for label in drawn.labels if label.anchor == "end"]
    assert label.x > 12 * 12 + 5 * 7.2  # the name, and its rank


def test_without_a_critical_difference_there_is_no_bar():
    drawn = draw(ranks({"A": 1.0, "B": 2.0}, math.nan), "A")
    assert bars(drawn) == []
    assert not any("critical" in label.text for label in drawn.labels)


def test_the_svg_is_well_formed_whatever_the_names():
    root = ElementTree.fromstring(to_svg(draw(ranks({NAME: 1.0, "NDCL": 2.0}), "NDCL")))
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert f"{NAME} 1.00" in texts
    assert root.get("width") == "760"


def test_the_pdf_is_the_same_every_time_and_takes_any_name():
    drawn = draw(ranks({NAME: 1.0, "NDCL": 2.0}), "NDCL")
    content, lacking = to_pdf(drawn)
    assert content.startswith(b"%PDF")
    assert lacking == ""
    assert to_pdf(drawn) == (content, "")


def test_characters_that_the_font_of_the_pdf_lacks_are_returned_and_not_warned_of(recwarn):
    content, lacking = to_pdf(draw(ranks({"我的方法": 1.0, "NDCL 法": 2.0}), "NDCL"))
    assert content.startswith(b"%PDF")
    assert lacking == "我方法的"
    assert [str(one.message) for one in recwarn] == []


def test_without_matplotlib_there_is_no_pdf(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert to_pdf(draw(ranks(DEMSAR), "NDCL")) == (None, "")
