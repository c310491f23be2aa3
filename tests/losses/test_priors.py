"""Domain-class priors."""

from __future__ import annotations

import math

import torch

from ndcl_domainbed.losses import inverse_prior, logit_prior
from tests.losses.plain import plain_prior

COUNTS = torch.tensor(
    [[100.0, 10.0, 1.0, 0.0], [5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 0.0, 7.0], [0.0, 0.0, 0.0, 0.0]],
    dtype=torch.float64,
)


def test_inverse_prior_by_formula_and_by_hand():
    before = COUNTS.clone()
    weights, offsets = inverse_prior(COUNTS)
    assert offsets is None
    torch.testing.assert_close(weights[:3], plain_prior("inverse", COUNTS[:3])[0])
    # 1/100 : 1/10 : 1 of a sum of 1.11, times 4 classes; an absent class weighs 0.
    wanted = torch.tensor([0.04 / 1.11, 0.4 / 1.11, 4 / 1.11, 0], dtype=torch.float64)
    torch.testing.assert_close(weights[0], wanted)
    assert weights[1:].tolist() == [[1, 1, 1, 1], [0, 0, 0, 4], [0, 0, 0, 0]]
    assert before.equal(COUNTS)


def test_logit_prior_is_the_log_of_the_counts():
    prior = logit_prior(COUNTS)
    assert prior.offsets[0].tolist() == [math.log(100), math.log(10), 0, -math.inf]
    assert prior.weights[0].tolist() == [1, 1, 1, 0]
    torch.testing.assert_close(prior.offsets[:3], plain_prior("logit", COUNTS[:3])[1])
    assert (prior.weights[3] == 0).all()
