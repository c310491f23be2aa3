"""What must hold for every algorithm that is registered, whoever wrote it."""

from __future__ import annotations

import copy
import functools
import io
import math

import numpy as np
import torch

from ndcl_domainbed import registry
from ndcl_domainbed.hparams import VECTORS, Hparams
from ndcl_domainbed.testbed import hparams_registry, networks
from ndcl_domainbed.training import state
from tests.testbed.algorithms.building import (
    CLASSES,
    SHAPE,
    VECTOR_SHAPE,
    build,
    hparams_for,
    minibatches_of,
    random_minibatches,
    shape_of,
)

IMAGES = "DigitsDG"
"""The dataset whose hyper-parameters the checks take, but for those on VECTORS."""

UNREAD = {
    "DANN": {"lr", "weight_decay"},  # each side has its own
    "CDANN": {"lr", "weight_decay"},
}

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
SPARSE_COUNTS = [[7, 0, 2, 1], [0, 3, 4, 9], [5, 5, 0, 1]]

_NOW = {"boda_start_step", "feat_update_freq", "eqrm_burnin_iters", "warm_up_steps"}


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
    return result


def assert_finite(algorithm):
    """Check that no parameter and no buffer is infinite or NaN."""
    for name, value in algorithm.state_dict().items():
        assert bool(torch.isfinite(value).all()), name


def check_defaults(name, dataset=IMAGES):
    """Three updates with the defaults: finite, in motion, logits of the right shape."""
    shape = shape_of(dataset)
    algorithm = build(name, dataset=dataset)
    before = copy.deepcopy(algorithm.state_dict())
    train(algorithm, random_minibatches(shape=shape), 3)
    assert_finite(algorithm)
    moved = [k for k, v in algorithm.state_dict().items() if not torch.equal(v, before[k])]
    assert moved
    algorithm.eval()
    logits = algorithm.predict(torch.randn(5, *shape))
    assert logits.shape == (5, CLASSES)
    assert logits.requires_grad


def check_random_hparams(name, dataset=IMAGES):
    """Random hyper-parameters survive three updates each; of images, of small and large ones."""
    drawn_for = [VECTORS] * 4 if dataset == VECTORS else [IMAGES, "PACS"] * 5
    for seed, kind in enumerate(drawn_for):
        hparams = hparams_for(name, seed=seed, dataset=kind)
        algorithm = build(name, hparams=with_everything_on(hparams), seed=seed)
        np.random.seed(seed)
        train(algorithm, random_minibatches((6, 6, 6), seed, shape=shape_of(kind)), 3)
        assert_finite(algorithm)


def check_hard_minibatches(name, dataset=IMAGES):
    """No minibatch makes a NaN, with every penalty on and classes missing from the split."""
    for labels in HARD_LABELS.values():
        domains = len(labels)
        # Group normalization takes a single tiny image, which batch normalization refuses.
        counts = SPARSE_COUNTS[:domains]
        hparams = hparams_for(name, domains, counts, dataset=dataset, backbone="mnist_cnn")
        algorithm = build(name, domains, hparams=with_everything_on(hparams))
        train(algorithm, minibatches_of(labels, shape=shape_of(dataset)), 3)
        assert_finite(algorithm)


def check_state_dict(name):
    """A trained algorithm's state goes into a fresh one, which then predicts the same."""
    trained = build(name)
    train(trained, random_minibatches(), 2)
    fresh = build(name, seed=1)
    fresh.load_state_dict(trained.state_dict())
    x = torch.randn(6, *SHAPE)
    trained.eval(), fresh.eval()
    torch.testing.assert_close(fresh.predict(x), trained.predict(x), rtol=0, atol=0)


def check_resume(name, dataset=IMAGES):
    """Training that is interrupted, saved, loaded and continued ends where it would have."""
    shape = shape_of(dataset)
    hparams = with_everything_on(hparams_for(name, dataset=dataset))
    whole = build(name, hparams=hparams)
    train(whole, random_minibatches(shape=shape), 3)
    file = io.BytesIO()
    torch.save(state.capture(whole), file)
    file.seek(0)
    resumed = build(name, hparams=hparams, seed=1)
    state.restore(resumed, torch.load(file, weights_only=True))
    ends = []
    for algorithm in (whole, resumed):
        torch.manual_seed(2), np.random.seed(2)
        ends.append(train(algorithm, random_minibatches(seed=1, shape=shape), 3))
    assert ends[0] == ends[1]
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


class Recorded(Hparams):
    """Hyper-parameters that know which of them were read."""

    def __init__(self, values):
        super().__init__(values)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.read.add(name)
        return super().get(name, default)


def _recorded(hparams):
    recorded = Recorded(hparams)
    for attribute in ("label_counts", "train_sets", "n_steps"):
        setattr(recorded, attribute, getattr(hparams, attribute))
    return recorded


@functools.cache
def _read_by_networks():
    """Return the hyper-parameters that the choice and the construction of a network read."""
    images = _recorded(hparams_for("ERM", backbone="auto", pretrained=False))
    networks.Featurizer((3, 224, 224), images)
    vectors = _recorded(hparams_for("ERM", dataset=VECTORS))
    networks.Featurizer(VECTOR_SHAPE, vectors)
    return images.read | vectors.read


def check_hparams_are_read(name, dataset=IMAGES):
    """Every hyper-parameter that is declared is read, and the other way round."""
    shape = shape_of(dataset)
    declared = set(registry.default_hparams(name, "PACS"))
    recorded = _recorded(with_everything_on(hparams_for(name, dataset=dataset)))
    algorithm = build(name, hparams=recorded)
    train(algorithm, random_minibatches(shape=shape), 3)
    algorithm.eval()
    algorithm.predict(torch.randn(4, *shape))

    elsewhere = (
        hparams_registry.READ_BY_THE_LOOP
        | hparams_registry.KEPT_FOR_DOMAINBED
        | _read_by_networks()
        | UNREAD.get(name, set())
    )
    assert recorded.read <= declared
    assert declared <= recorded.read | elsewhere
