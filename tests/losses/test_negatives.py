"""Negatives-dominant contrast and its amplification factor."""

import pytest
import torch

from ndcl_domainbed.losses import amplification_factor, negatives_contrast
from tests.losses.plain import BATCHES, plain_sums


def at_degrees(*degrees):
    """Unit vectors of the plane."""
    radians = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1)


@pytest.mark.parametrize("kernel", ["exp", "linear"])
@pytest.mark.parametrize("tau", [1.0, 0.5])
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_factor_is_the_quotient_of_the_sums(batch, kernel, tau):
    arguments = batch.posteriors()
    factors = amplification_factor(*arguments, kernel=kernel, tau=tau).tolist()
    for i, factor in enumerate(factors):
        positive, negative = plain_sums(*arguments, i, kernel, tau)
        assert factor == pytest.approx(float(positive / negative) if negative else 0.0)


def test_coinciding_pairs_have_a_bounded_linear_factor():
    anchors = at_degrees(0, 0, 0)
    labels, classes = torch.tensor([0, 0, 0]), torch.tensor([0])
    factors = amplification_factor(anchors, labels, at_degrees(0), classes, kernel="linear")
    assert factors.tolist() == pytest.approx([2, 2, 2])


@pytest.mark.parametrize("function", [negatives_contrast, amplification_factor])
def test_an_unknown_kernel_is_an_error(function):
    with pytest.raises(ValueError, match="'cubic'; choose one of exp, linear"):
        function(*BATCHES["two classes"].posteriors(), kernel="cubic")
