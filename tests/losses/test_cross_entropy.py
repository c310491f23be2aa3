"""Re-weighted cross-entropy against the plain formula, and on batches that have little to give."""

import pytest
import torch

from ndcl_domainbed.losses import (
    DomainClassPrior,
    inverse_prior,
    logit_prior,
    reweighted_cross_entropy,
)
from tests.losses.plain import BATCHES, plain_cross_entropy

PRIORS = {"none": lambda _: DomainClassPrior(), "inverse": inverse_prior, "logit": logit_prior}


def counts_for(batch, seed=0):
    """Counts of a training split that holds at least the samples of the batch."""
    d, k = int(batch.domains.max()) + 1, batch.logits.shape[1]
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 60, (d, k), generator=generator).double()
    counts[batch.domains, batch.labels] = counts[batch.domains, batch.labels].clamp_min(1)
    return counts


@pytest.mark.parametrize("kind", PRIORS)
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_value_and_gradient_are_those_of_the_formula(batch, kind):
    counts = counts_for(batch)
    batch = batch._replace(logits=batch.logits.clone().requires_grad_())
    loss = reweighted_cross_entropy(batch.logits, batch.labels, batch.domains, PRIORS[kind](counts))
    wanted = plain_cross_entropy(batch, kind, counts)
    torch.testing.assert_close(loss, wanted)
    (gradient,) = torch.autograd.grad(loss, batch.logits)
    (wanted_gradient,) = torch.autograd.grad(wanted, batch.logits)
    torch.testing.assert_close(gradient, wanted_gradient)


def test_only_a_prior_needs_domains():
    batch = BATCHES["seven classes"]
    alone = reweighted_cross_entropy(batch.logits, batch.labels)
    torch.testing.assert_close(alone, plain_cross_entropy(batch))
    with pytest.raises(ValueError, match="domains"):
        reweighted_cross_entropy(batch.logits, batch.labels, prior=inverse_prior(counts_for(batch)))


@pytest.mark.parametrize("kind", ["inverse", "logit"])
def test_a_sample_that_the_counts_do_not_know_adds_nothing(kind):
    batch = BATCHES["seven classes"]
    counts = counts_for(batch)
    counts[batch.domains[0], batch.labels[0]] = 0
    unknown = (batch.domains == batch.domains[0]) & (batch.labels == batch.labels[0])
    logits = batch.logits.clone().requires_grad_()
    loss = reweighted_cross_entropy(logits, batch.labels, batch.domains, PRIORS[kind](counts))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert (gradient[unknown] == 0).all()
    assert gradient.isfinite().all()
    assert (gradient[~unknown].abs().sum(dim=1) > 0).all()


def test_huge_losses_stay_finite():
    logits = torch.tensor([[500.0, 0.0], [0.0, 0.0], [0.0, 400.0]], requires_grad=True)
    loss = reweighted_cross_entropy(logits, torch.tensor([1, 1, 0]))
    loss.backward()
    assert loss.item() == pytest.approx(450.0)
    assert logits.grad.isfinite().all()


def test_an_empty_batch_gives_zero_with_a_gradient():
    logits = torch.zeros(0, 4, requires_grad=True)
    loss = reweighted_cross_entropy(logits, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
