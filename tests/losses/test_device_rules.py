"""What an accelerator needs of the losses: nothing is read back, and nothing is made elsewhere."""

import torch

from ndcl_domainbed import losses
from tests.losses.watching import Watch


def watch_everything(labels, n=30, k=7):
    """Watch all losses and their gradient, on the device of ``labels`` (n,)."""
    device = labels.device
    logits = torch.randn(n, k).to(device).requires_grad_()
    mixed = torch.randn(n, k).to(device).softmax(dim=1)
    domains = torch.arange(n, device=device) * 5 // n
    counts = torch.randint(0, 9, (5, k)).float().to(device)
    table = torch.zeros(5, k, k, device=device)
    seen = torch.zeros(5, k, dtype=torch.bool, device=device)
    with Watch() as watch:
        anchors = logits.softmax(dim=1)
        batch = (anchors, labels, mixed, labels)
        found = losses.batch_prototypes(anchors, labels, domains)
        found, _, _ = losses.kept_prototypes(found, table, seen, 0.5)
        terms = [
            losses.reweighted_cross_entropy(logits, labels, domains, losses.logit_prior(counts)),
            losses.reweighted_cross_entropy(logits, labels, domains, losses.inverse_prior(counts)),
            losses.negatives_contrast(*batch),
            losses.negatives_contrast(*batch, kernel="linear"),
            losses.infonce_contrast(*batch),
            losses.supcon_contrast(*batch),
            losses.prototype_alignment(found.vectors, found.classes, found.active),
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
    assert watch.waits == ["_local_scalar_dense", "index", "nonzero"]


def test_nothing_is_read_back_to_the_host():
    watch, gradient = watch_everything(torch.arange(30) % 7)
    assert watch.waits == []
    assert gradient.isfinite().all()


def test_it_all_runs_where_tensors_have_no_values_and_on_no_other_device():
    _, gradient = watch_everything(torch.zeros(30, dtype=torch.int64, device="meta"))
    assert (gradient.device.type, gradient.shape) == ("meta", (30, 7))
