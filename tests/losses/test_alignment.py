"""Prototype alignment against the plain formula, by hand, and on batches with nothing to align."""

import pytest
import torch

from ndcl_domainbed.losses import batch_prototypes, prototype_alignment
from tests.losses.plain import BATCHES, plain_alignment, plain_prototypes, random_batch

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


def test_a_prototype_weighs_the_same_whatever_its_sample_count():
    few = torch.tensor([0, 1, 2, 3])
    many = torch.tensor([0] * 20 + [1, 2, 3])
    posterior = torch.rand(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels, domains = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    torch.testing.assert_close(
        alignment_of(posterior[many], labels[many], domains[many]),
        alignment_of(posterior[few], labels[few], domains[few]),
    )


@pytest.mark.parametrize(
    ("labels", "domains"),
    [([0, 1, 2], [0, 0, 0]), ([0, 0, 1, 1], [0, 0, 1, 1]), ([2], [0])],
    ids=["one domain", "nothing shared", "one sample"],
)
def test_nothing_shared_gives_zero_with_a_zero_gradient(labels, domains):
    posterior = torch.rand(len(labels), 4).softmax(dim=1).requires_grad_()
    loss = alignment_of(posterior, torch.tensor(labels), torch.tensor(domains))
    loss.backward()
    assert loss.item() == 0
    assert (posterior.grad == 0).all()


def test_no_prototypes_give_zero_with_a_gradient():
    nothing = torch.zeros(0, 3, requires_grad=True)
    loss = prototype_alignment(nothing, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0


def test_rows_left_out_might_as_well_not_be_there():
    batch = random_batch(10, 3, 3, seed=9)
    active = torch.tensor([True, False] * 5)
    torch.testing.assert_close(
        prototype_alignment(batch.logits, batch.labels, active),
        prototype_alignment(batch.logits[active], batch.labels[active]),
    )


def test_order_of_samples_and_names_of_domains_and_classes_do_not_matter():
    batch = BATCHES["seven classes"]
    posterior = batch.logits.softmax(dim=1)
    order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(0))
    classes, domains = torch.tensor([3, 0, 6, 1, 5, 2, 4]), torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        alignment_of(posterior[order], classes[batch.labels][order], domains[batch.domains][order]),
        alignment_of(posterior, batch.labels, batch.domains),
    )


def test_low_temperatures_stay_finite():
    vectors = CORNERS[[0, 1, 0, 1, 2]].float().requires_grad_()
    loss = prototype_alignment(vectors, torch.tensor([0, 0, 1, 1, 1]), tau=0.005)
    loss.backward()
    assert loss.item() > 100
    assert vectors.grad.isfinite().all()
