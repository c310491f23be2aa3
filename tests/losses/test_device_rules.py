"""What an accelerator needs of the losses: nothing read back, memory that grows as N x N."""

from __future__ import annotations

import pytest
import torch

from ndcl_domainbed import losses
from tests.losses.watching import Watch


def everything(n, k, labels):
    """Watch all losses and their gradient: n samples, n synthetic negatives, k classes.

    They are on the device of ``labels``.
    """
    device = labels.device
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n, k, generator=generator).to(device).requires_grad_()
    mixed = torch.randn(n, k, generator=generator).to(device).softmax(dim=1)
    domains = torch.arange(n, device=device) * 5 // n
    counts = torch.randint(0, 9, (5, k), generator=generator).float().to(device)
    table = torch.zeros(5, k, 4, device=device)
    seen = torch.zeros(5, k, dtype=torch.bool, device=device)
    with Watch() as watch:
        anchors = logits.softmax(dim=1)
        batch = (anchors, labels, mixed, labels)
        found = losses.batch_prototypes(anchors, labels, domains)
        narrow = losses.batch_prototypes(anchors[:, :4], labels, domains)
        narrow, _, _ = losses.kept_prototypes(narrow, table, seen, 0.5)
        terms = [
            losses.reweighted_cross_entropy(logits, labels),
            losses.reweighted_cross_entropy(logits, labels, domains, losses.logit_prior(counts)),
            losses.reweighted_cross_entropy(logits, labels, domains, losses.inverse_prior(counts)),
            losses.negatives_contrast(*batch),
            losses.negatives_contrast(*batch, kernel="linear"),
            losses.infonce_contrast(*batch),
            losses.supcon_contrast(*batch),
            losses.prototype_alignment(found.vectors, found.classes, found.active),
            losses.prototype_alignment(narrow.vectors, narrow.classes, narrow.active),
        ]
        torch.stack(terms).sum().backward()
        losses.amplification_factor(anchors.detach(), *batch[1:])
    return watch, logits.grad


def test_the_watch_notices_what_it_should():
    with Watch() as watch:
        x = torch.arange(4.0)
        x.sum().item()
        x[x > 1]
        x.nonzero()
        torch.zeros(100, 100)
    assert watch.waits == ["_local_scalar_dense", "index", "nonzero"]
    assert watch.operators >= 5
    assert watch.largest == 40_000


def test_nothing_is_read_back_to_the_host():
    watch, gradient = everything(30, 7, torch.arange(30) % 7)
    assert watch.waits == []
    assert gradient.isfinite().all()


def test_it_all_runs_where_tensors_have_no_values_and_on_no_other_device():
    _, gradient = everything(30, 7, torch.zeros(30, dtype=torch.int64, device="meta"))
    assert gradient.device.type == "meta"
    assert gradient.shape == (30, 7)


@pytest.mark.parametrize(("n", "k"), [(320, 345), (320, 7), (64, 345)])
def test_no_tensor_is_larger_than_batch_by_batch_or_batch_by_classes(n, k):
    one_class_has_90_percent = torch.where(torch.arange(n) % 10 < 9, 0, torch.arange(n) % k)
    watch, _ = everything(n, k, one_class_has_90_percent)
    assert watch.largest <= 8 * max(n * 2 * n, 2 * n * k)


def test_the_number_of_operators_depends_on_neither_batch_nor_classes():
    counts = {
        everything(n, k, torch.arange(n) % k)[0].operators
        for n, k in [(30, 7), (96, 10), (96, 65), (40, 345)]
    }
    assert len(counts) == 1
