"""Prototype alignment against the plain formula, by hand, and on batches with nothing to align."""

import pytest
import torch

from ndcl_domainbed.losses import (
    batch_prototypes,
    prototype_alignment,
)
from tests.losses.plain import BATCHES, plain_alignment, plain_prototypes

CORNERS = torch.eye(3, dtype=torch.float64)


def alignment_of(posterior, labels, domains, min_count=1, tau=1.0):
    found = batch_prototypes(posterior, labels, domains, min_count)
    return prototype_alignment(found.vectors, found.classes, found.active, tau=tau)


@pytest.mark.parametrize(("min_count", "tau"), [(1, 1.0), (2, 0.5)])
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_value_and_gradient_are_those_of_the_formula(batch, min_count, tau):
    posterior = batch.logits.softmax(dim=1).requires_grad_()
    loss = alignment_of(posterior, batch.labels, batch.domains, min_count, tau)
    found = plain_prototypes(posterior, batch.labels, batch.domains, min_count)
    wanted = plain_alignment(found, tau) + 0 * posterior.sum()
    torch.testing.assert_close(loss, wanted)
    (gradient,) = torch.autograd.grad(loss, posterior)
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted, posterior)[0])


def test_no_prototypes_give_zero_with_a_gradient():
    nothing = torch.zeros(0, 3, requires_grad=True)
    loss = prototype_alignment(nothing, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0


def test_low_temperatures_stay_finite():
    vectors = CORNERS[[0, 1, 0, 1, 2]].float().requires_grad_()
    loss = prototype_alignment(vectors, torch.tensor([0, 0, 1, 1, 1]), tau=0.005)
    loss.backward()
    assert loss.item() > 100
    assert vectors.grad.isfinite().all()


def active_rows(found):
    """The active prototypes by (domain, class)."""
    return {
        (int(d), int(k)): vector
        for vector, d, k, active in zip(
            found.vectors, found.domains, found.classes, found.active, strict=True
        )
        if active
    }


@pytest.mark.parametrize("min_count", [1, 2, 3])
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_means_of_the_pairs_with_enough_samples(batch, min_count):
    found = batch_prototypes(batch.logits, batch.labels, batch.domains, min_count)
    rows = active_rows(found)
    wanted = plain_prototypes(batch.logits, batch.labels, batch.domains, min_count)
    assert rows.keys() == wanted.keys()
    assert int(found.active.sum()) == len(wanted)
    for pair, vector in rows.items():
        torch.testing.assert_close(vector, wanted[pair])
