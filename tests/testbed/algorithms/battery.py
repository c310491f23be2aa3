"""What must hold for every algorithm that is registered, whoever wrote it."""

import functools
import math

import numpy as np
import torch

from ndcl_domainbed import registry
from ndcl_domainbed.hparams import VECTORS, Hparams
from ndcl_domainbed.testbed import hparams_registry, networks
from tests.testbed.algorithms.building import (
    CLASSES,
    VECTOR_SHAPE,
    build,
    hparams_for,
    minibatches_of,
    random_minibatches,
    shape_of,
)

IMAGES = "DigitsDG"
"""The dataset whose hyper-parameters the checks take, unless they take those on VECTORS."""

UNREAD = {
    "DANN": {"lr", "weight_decay"},  # each side has its own
    "CDANN": {"lr", "weight_decay"},
}

COUNTS = [[7, 0, 2, 1], [0, 3, 4, 9], [5, 5, 0, 1]]
HARD_LABELS = {
    "an absent class": [[0, 1, 2, 0], [1, 2, 1, 2], [0, 0, 1, 2]],
    "a class per domain": [[0, 0, 0], [1, 1, 1], [2, 2, 2]],
    "one class": [[3, 3, 3], [3, 3, 3], [3, 3, 3]],
    "single samples of classes": [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]],
    "a single-sample domain": [[0, 1, 2, 3, 0], [1], [2, 2, 0, 1, 3]],
    "single-sample domains": [[0], [1], [0]],
    "unequal sizes": [[0, 1, 2, 3, 0, 1, 2], [3, 2], [0, 0, 1, 2]],
    "one domain": [[0, 1, 2, 3, 0, 1]],
    "two domains": [[0, 1, 2, 3], [3, 2, 1, 0]],
    "one sample": [[2]],
}
HARD_ON_IMAGES = ("an absent class", "single-sample domains", "unequal sizes")

LACKING = [[9, 5, 3, 0], [4, 0, 6, 0], [2, 8, 1, 0]]
"""Counts of a split in which one domain lacks class 1, and all of them class 3."""

_NOW = {
    *("boda_start_step", "feat_update_freq", "eqrm_burnin_iters", "warm_up_steps"),
    *("drw_start_step", "tally_start_step"),
}


def with_everything_on(hparams):
    """Return the hyper-parameters with every penalty switched on after one update."""
    switches = [name for name in hparams if name in _NOW or name.endswith("anneal_iters")]
    for name in switches:
        hparams[name] = 1
    return hparams


def train(algorithm, minibatches, updates):
    """Make updates, whose results must be finite; return the last."""
    for _ in range(updates):
        result = algorithm.update([(x.clone(), y.clone()) for x, y in minibatches])
        assert result
        for key, value in result.items():
            assert isinstance(value, int | float), key
            assert math.isfinite(value), (key, value)
    for key, value in algorithm.state_dict().items():
        assert bool(torch.isfinite(value).all()), key
    return result


def check_random_hparams(name):
    """Random hyper-parameters survive two updates each, those for images and for vectors."""
    for seed, kind in enumerate([IMAGES, "PACS", VECTORS] * 3 + [IMAGES]):
        hparams = hparams_for(name, seed=seed, dataset=kind)
        algorithm = build(name, hparams=with_everything_on(hparams), seed=seed)
        np.random.seed(seed)
        train(algorithm, random_minibatches((6, 6, 6), seed, shape=shape_of(kind)), 2)


def check_hard_minibatches(name, **changes):
    """No minibatch makes a NaN, with every penalty on and classes missing from the split."""
    cases = [(VECTORS, labels) for labels in HARD_LABELS.values()]
    cases += [(IMAGES, HARD_LABELS[kind]) for kind in HARD_ON_IMAGES]
    for dataset, labels in cases:
        domains = len(labels)
        # Group normalization takes a single tiny image, which batch normalization refuses.
        hparams = hparams_for(
            name, domains, COUNTS[:domains], dataset=dataset, backbone="mnist_cnn", **changes
        )
        algorithm = build(name, domains, hparams=with_everything_on(hparams))
        train(algorithm, minibatches_of(labels, shape=shape_of(dataset)), 2)


def check_classes_that_domains_lack(name):
    """A split in which domains lack classes trains, and every class has its logit."""
    hparams = hparams_for(name, counts=LACKING, dataset=VECTORS)
    algorithm = build(name, hparams=with_everything_on(hparams))
    sets = [train_set.tensors for train_set in hparams.train_sets]
    before = [p.detach().clone() for p in algorithm.parameters()]
    train(algorithm, sets, 5)
    assert any(not torch.equal(p, b) for p, b in zip(algorithm.parameters(), before, strict=True))
    logits = algorithm.eval().predict(sets[1][0])
    assert logits.shape == (10, CLASSES)
    assert bool(logits.isfinite().all())


class Recorded(Hparams):
    """Hyper-parameters that know which of them were read."""

    def __init__(self, hparams):
        super().__init__(hparams)
        self.read = set()
        for attribute in ("label_counts", "train_sets", "n_steps"):
            setattr(self, attribute, getattr(hparams, attribute))

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.read.add(name)
        return super().get(name, default)


@functools.cache
def _read_by_networks():
    """Return the hyper-parameters that the choice and the construction of a network read."""
    images = Recorded(hparams_for("ERM", backbone="auto", pretrained=False))
    networks.Featurizer((3, 224, 224), images)
    vectors = Recorded(hparams_for("ERM", dataset=VECTORS))
    networks.Featurizer(VECTOR_SHAPE, vectors)
    return images.read | vectors.read


def check_hparams_are_read(name):
    """Every hyper-parameter that is declared is read, and the other way round."""
    declared = set(registry.default_hparams(name, "PACS"))
    recorded = Recorded(with_everything_on(hparams_for(name)))
    algorithm = build(name, hparams=recorded)
    train(algorithm, random_minibatches(), 3)
    algorithm.eval().predict(random_minibatches([4])[0][0])
    elsewhere = (
        hparams_registry.READ_BY_THE_LOOP
        | hparams_registry.KEPT_FOR_DOMAINBED
        | _read_by_networks()
        | UNREAD.get(name, set())
    )
    assert recorded.read <= declared | {"sam_rho"}  # an update of its own may call ERM's
    assert declared <= recorded.read | elsewhere


CHECKS = [
    check_random_hparams,
    check_hard_minibatches,
    check_classes_that_domains_lack,
    check_hparams_are_read,
]
