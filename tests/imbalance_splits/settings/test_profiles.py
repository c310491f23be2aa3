"""What the tail, Balanced, Exponential and Duality promise beyond the battery."""

import math

import numpy as np
import pytest

from imbalance_splits.settings import build_setting
from imbalance_splits.settings.tails import tail_profile

COUNTS = {
    "a": {"x": 900, "y": 700, "z": 500},
    "b": {"x": 300, "y": 200, "z": 800},
    "c": {"x": 100, "y": 110, "z": 130},
    "d": {"x": 400, "y": 410, "z": 430},
}


@pytest.mark.parametrize("shape", [1.5, 2.0, 3.0, 6.0])
@pytest.mark.parametrize("length", [2, 7, 345])
def test_the_tail_is_the_log_logistic_density(shape, length):
    mean = (math.pi / shape) / math.sin(math.pi / shape)
    end = (0.99 / 0.01) ** (1 / shape)
    start = 1 / mean
    points = [start + (end - start) * i / (length - 1) for i in range(length)]
    density = [shape * x ** (shape - 1) / (1 + x**shape) ** 2 for x in points]
    expected = [value / sum(density) for value in density]
    np.testing.assert_allclose(tail_profile(length, shape), expected, rtol=1e-12)


def test_balanced_gives_every_class_what_the_scarcest_source_allows():
    table = build_setting("Balanced", {"validation": 10}).table("own", COUNTS)
    assert (table.counts("a") == int(90 * 0.8)).all()
    assert (table.counts("c") == int(190 * 0.8)).all()


def test_exponential_has_the_imbalance_factor_in_every_source():
    many = {d: {f"k{i}": 4000 + 100 * i for i in range(10)} for d in "abc"}
    table = build_setting("Exponential", {"factor": 50.0, "q": 0.0}).table("own", many)
    for row in table.train_counts["a"].values():
        sizes = sorted(row.values(), reverse=True)
        assert list(row) == sorted(row, key=row.get)  # the class with most images stays the head
        assert sizes[0] == 4900 - 15
        assert sizes[-1] == int(4885 * 50**-1.0)
        ratios = np.array(sizes[:-1]) / np.array(sizes[1:])
        np.testing.assert_allclose(ratios, 50 ** (1 / 9), rtol=0.01)


def test_duality_has_a_scarce_a_long_tailed_and_a_reversed_source():
    table = build_setting("Duality", {"middle_range": (9, 9)}).table("own", COUNTS)
    rows = table.train_counts["a"]  # sources by total: c, d, b
    assert set(rows["b"].values()) == {3}
    assert rows["c"]["z"] > rows["c"]["y"] > rows["c"]["x"]
    assert rows["d"]["x"] >= rows["d"]["y"] >= rows["d"]["z"]


def test_heavy_tail_keeps_the_domain_mix_of_a_class():
    table = build_setting("TotalHeavyTail", {"validation": 0}).table("own", COUNTS)
    rows = table.train_counts["a"]
    for name in "xyz":
        pooled = sum(COUNTS[d][name] for d in "bcd")
        trained = sum(rows[d][name] for d in "bcd")
        for d in "bcd":
            assert abs(rows[d][name] - trained * COUNTS[d][name] / pooled) < 2
