"""Domain-class priors."""

import math

import numpy as np
import pytest
import torch
from scipy.special import gammaln

from imbalance_splits.published import published_table
from ndcl_domainbed.losses import fit_strength, logit_prior, smooth_counts

COUNTS = torch.tensor(
    [[100.0, 10.0, 1.0, 0.0], [5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 0.0, 7.0], [0.0, 0.0, 0.0, 0.0]],
    dtype=torch.float64,
)


def test_smoothing_has_the_counts_and_the_pooled_counts_as_its_limits():
    assert smooth_counts(COUNTS, 0).equal(COUNTS)
    assert logit_prior(smooth_counts(COUNTS, 0.0)).offsets.equal(logit_prior(COUNTS).offsets)
    pooled = smooth_counts(COUNTS, "pooled")
    assert pooled.equal(COUNTS.sum(dim=0).expand(4, -1))
    assert smooth_counts(COUNTS, math.inf).equal(pooled)
    nearly = smooth_counts(COUNTS, 1e9)
    shares = [table / table.sum(dim=1, keepdim=True) for table in (nearly, pooled)]
    torch.testing.assert_close(*shares, rtol=0, atol=1e-6)
    auto = smooth_counts(COUNTS, "auto")
    assert auto.equal(smooth_counts(COUNTS, fit_strength(COUNTS)))


def test_a_class_that_no_domain_has_stays_absent():
    counts = torch.tensor([[4.0, 0.0, 1.0], [2.0, 0.0, 0.0]])
    for strength in (2.0, "auto", "pooled"):
        prior = logit_prior(smooth_counts(counts, strength))
        assert (prior.offsets[:, 1] == -math.inf).all()
        assert prior.offsets[:, [0, 2]].isfinite().all()
    nothing = torch.zeros(2, 3)
    assert smooth_counts(nothing, "auto").equal(nothing)


def _likelihood(counts, kappa):
    """The Dirichlet-multinomial log-likelihood, term by term."""
    shares = counts.sum(axis=0) / counts.sum()
    total = 0.0
    for row in counts:
        total += gammaln(kappa) - gammaln(kappa + row.sum())
        for n, share in zip(row, shares, strict=True):
            if share > 0:
                total += gammaln(n + kappa * share) - gammaln(kappa * share)
    return total


@pytest.mark.parametrize("known", [0.5, 5.0, 50.0, 500.0])
def test_the_fitted_strength_is_the_likeliest_and_finds_the_one_that_made_the_table(known):
    random = np.random.RandomState(0)
    priors = random.dirichlet(known * np.full(10, 0.1), size=60)
    counts = np.array([random.multinomial(2000, prior) for prior in priors], dtype=np.float64)
    found = fit_strength(torch.from_numpy(counts))
    best = _likelihood(counts, found)
    assert all(_likelihood(counts, found * factor) < best for factor in (0.9, 0.999, 1.001, 1.1))
    assert found == pytest.approx(known, rel=0.25)


def test_the_fitted_strength_has_no_bound_where_domains_agree():
    assert fit_strength(torch.tensor([[90.0, 9.0, 1.0]] * 3)) == math.inf
    assert fit_strength(torch.tensor([[7.0, 2.0, 0.0]])) == math.inf  # one domain
    opposed = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    assert fit_strength(opposed) < 1


def test_the_fitted_strength_of_the_published_tables():
    found = {}
    for setting in ("TotalHeavyTail", "GINIDG", "Duality", "Cross"):
        table = published_table("PACS", setting)
        counts = [torch.from_numpy(table.counts(target)) for target in table.train_counts]
        found[setting] = sorted(round(fit_strength(n)) for n in counts)
    assert (found["TotalHeavyTail"][0], found["TotalHeavyTail"][-1]) == (306, 518)
    assert (found["GINIDG"][0], found["GINIDG"][-1]) == (68, 188)
    assert {*found["Duality"], *found["Cross"]} <= {4, 5, 6}
