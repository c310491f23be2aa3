"""Domain-class priors."""

from __future__ import annotations

import math

import torch

from ndcl_domainbed.losses import inverse_prior, logit_prior, no_prior
from tests.losses.plain import plain_prior

COUNTS = torch.tensor(
    [[100.0, 10.0, 1.0, 0.0], [5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 0.0, 7.0]], dtype=torch.float64
)


def test_no_prior_changes_nothing():
    assert no_prior(COUNTS) == (None, None)


def test_inverse_prior_is_the_formula():
    prior = inverse_prior(COUNTS)
    torch.testing.assert_close(prior.weights, plain_prior("inverse", COUNTS)[0])
    assert prior.offsets is None


def test_inverse_prior_by_hand():
    # 1/100 : 1/10 : 1 of a sum of 1.11, times 4 classes; an absent class weighs 0.
    first = inverse_prior(COUNTS).weights[0]
    wanted = torch.tensor([0.04 / 1.11, 0.4 / 1.11, 4 / 1.11, 0], dtype=torch.float64)
    torch.testing.assert_close(first, wanted)
    assert inverse_prior(COUNTS).weights[2].tolist() == [0, 0, 0, 4]


def test_inverse_prior_of_equal_counts_is_none():
    assert inverse_prior(COUNTS).weights[1].tolist() == [1, 1, 1, 1]


def test_a_domain_without_samples_weighs_nothing():
    assert inverse_prior(torch.zeros(2, 3)).weights.tolist() == [[0, 0, 0]] * 2
    assert (logit_prior(torch.zeros(2, 3)).weights == 0).all()


def test_logit_prior_is_the_log_of_the_counts():
    prior = logit_prior(COUNTS)
    assert prior.offsets[0].tolist() == [math.log(100), math.log(10), 0, -math.inf]
    assert prior.weights[0].tolist() == [1, 1, 1, 0]
    torch.testing.assert_close(prior.offsets, plain_prior("logit", COUNTS)[1])


def test_counts_are_left_alone():
    before = COUNTS.clone()
    inverse_prior(COUNTS)
    logit_prior(COUNTS)
    assert COUNTS.equal(before)
