"""NDCL on small vectors: its variants, batches, and its loss once more as plain loops."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ndcl_domainbed.algorithms.ndcl import NDCL
from ndcl_domainbed.hard_negatives import hard_negatives
from ndcl_domainbed.registry import default_hparams
from tests.losses.plain import (
    Batch,
    plain_alignment,
    plain_cross_entropy,
    plain_infonce,
    plain_negatives,
    plain_prototypes,
    plain_supcon,
)

K, WIDTH = 5, 6
COUNTS = np.array([[50, 9, 4, 2, 1], [3, 30, 0, 8, 2], [1, 1, 20, 20, 7]])

VARIANTS = [
    {},
    {"kernel": "linear", "tau": 0.5},
    {"contrast": "infonce", "tau": 0.5},
    {"contrast": "supcon"},
    {"contrast": "none"},
    {"budget": "equal", "mixup_per_pair": True},
    {"budget": "fixed"},
    {"pairing": "released", "class_prior": "logit"},
    {"pairing": "released", "budget": "equal", "budget_scale": 1.5, "mixup_per_pair": True},
    {"pairing": "released", "budget": "fixed", "contrast": "infonce"},
    {"pairing": "released", "space": "feature", "contrast": "supcon"},
    {"space": "feature"},
    {"space": "feature", "contrast": "supcon", "prototype_momentum": 0.5},
    {"class_prior": "inverse"},
    {"class_prior": "logit"},
    {"class_prior": "logit", "prior_strength": 3.0},
    {"budget_scale": 1.5},
    {"tau_align": 0.3, "prototype_min_count": 2},
    {"prototype_momentum": 0.9, "prototype_min_count": 2},
    {"alpha": 0.0, "beta": 1.0},
    {"alpha": 1.0, "beta": 0.0},
    {"ce_weight": 0.0, "alpha": 1.0},
]
each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=[str(v) for v in VARIANTS])


def make_hparams(**changes):
    hparams = default_hparams("NDCL", "DigitsDG")
    hparams.update(mlp_width=16, mlp_depth=3, mlp_dropout=0.0, backbone="auto")
    hparams.update(changes)
    hparams.label_counts = COUNTS
    return hparams


def make_algorithm(seed=0, **changes):
    torch.manual_seed(seed)
    return NDCL((WIDTH,), K, 3, make_hparams(**changes)).double()


def minibatches_of(*labels, seed=0):
    """One minibatch for each list of labels, with random inputs."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(len(y), WIDTH, generator=generator, dtype=torch.float64),
            torch.tensor(y, dtype=torch.int64),
        )
        for y in labels
    ]


ORDINARY = ([0, 0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 3, 3, 4], [2, 2, 3, 2, 0, 3, 4])


def plain_mixing(algorithm, generator, minibatches):
    """The hard negatives of a step; None if it makes none."""
    settings = algorithm.settings
    if settings.contrast == "none" or settings.alpha == 0:
        return None
    x, y = torch.cat([x for x, _ in minibatches]), torch.cat([y for _, y in minibatches])
    return hard_negatives(
        x,
        y,
        algorithm.predict(x).detach().softmax(dim=1),
        settings.mixup,
        generator,
        pairing=settings.pairing,
        budget=settings.budget,
        per_class=8,
        scale=settings.budget_scale,
        per_pair=settings.mixup_per_pair,
    )


def plain_terms(algorithm, made, minibatches, old=None):
    """The three terms of the loss of a step, by loops, with the hard negatives ``made``.

    ``old`` holds the prototypes kept so far, and then those of this step too.
    """
    settings, old = algorithm.settings, {} if old is None else old
    x, y = torch.cat([x for x, _ in minibatches]), torch.cat([y for _, y in minibatches])
    domains = torch.cat([torch.full_like(y, d) for d, (_, y) in enumerate(minibatches)])

    def embed(inputs):
        features = algorithm.featurizer(inputs)
        if settings.space == "feature":
            return F.normalize(features)
        return algorithm.classifier(features).softmax(dim=1)

    logits, anchors = algorithm.predict(x), embed(x)
    batch = Batch(logits, y, domains, logits, y)
    shares = [sum(row[k] for row in COUNTS) / COUNTS.sum() for k in range(K)]
    counts = torch.tensor(
        [[n + settings.prior_strength * shares[k] for k, n in enumerate(row)] for row in COUNTS],
        dtype=torch.float64,
    )
    cross_entropy = plain_cross_entropy(batch, settings.class_prior, counts)
    contrast = torch.zeros(())
    if made is not None:
        pairs = (anchors, y, embed(made.inputs), made.classes)
        if settings.contrast == "negatives":
            contrast = plain_negatives(*pairs, settings.kernel, settings.tau)
        else:
            plain = {"infonce": plain_infonce, "supcon": plain_supcon}[settings.contrast]
            contrast = plain(*pairs, settings.tau)
    found = plain_prototypes(anchors, y, domains, settings.prototype_min_count)
    m = settings.prototype_momentum
    found = {pair: m * old[pair] + (1 - m) * v if pair in old else v for pair, v in found.items()}
    old.update({pair: vector.detach() for pair, vector in found.items()})
    return cross_entropy, contrast, plain_alignment(found, settings.tau_align)
