"""Small algorithms and minibatches to try them on."""

import copy

import numpy as np
import torch
from torch.utils.data import TensorDataset

from ndcl_domainbed import registry
from ndcl_domainbed.hparams import VECTORS, Hparams

SHAPE = (3, 8, 8)
VECTOR_SHAPE = (20,)
CLASSES = 4


def shape_of(dataset):
    """Return the shape of an input: of a vector where ``dataset`` is VECTORS, else of an image."""
    return VECTOR_SHAPE if dataset == VECTORS else SHAPE


def minibatches_of(labels, seed=0, dtype=torch.float32, shape=SHAPE):
    """Return random inputs (n_d, 3, 8, 8), or of another shape, for the labels of each domain."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(len(y), *shape, generator=generator).to(dtype), torch.tensor(y))
        for y in labels
    ]


def random_minibatches(sizes=(8, 8, 8), seed=0, dtype=torch.float32, shape=SHAPE):
    """Return random inputs and labels of domains of the given sizes."""
    rng = np.random.RandomState(seed)
    labels = [rng.randint(CLASSES, size=n).tolist() for n in sizes]
    return minibatches_of(labels, seed, dtype, shape)


def hparams_for(name, domains=3, counts=None, seed=None, dataset="DigitsDG", **overrides):
    """Return hyper-parameters, default or random, for a tiny network, with a training split.

    Those for the ``dataset`` VECTORS are for frozen features.
    """
    if seed is None:
        values = registry.default_hparams(name, dataset)
    else:
        values = registry.random_hparams(name, dataset, seed)
    tiny = {"backbone": "small_cnn", "frozen": dataset == VECTORS}
    hparams = Hparams({**values, **tiny, **overrides})
    if counts is None:
        counts = [[9, 5, 3, 2]] * domains
    hparams.label_counts = np.array(counts)
    shape = shape_of(dataset)
    hparams.train_sets = [_training_set(row, d, shape) for d, row in enumerate(counts)]
    hparams.n_steps = 10
    return hparams


def _training_set(counts, seed, shape):
    y = np.repeat(np.arange(len(counts)), counts).tolist()
    ((x, y),) = minibatches_of([y], seed=100 + seed, shape=shape)
    return TensorDataset(x, y)


def build(name, domains=3, hparams=None, seed=0, **overrides):
    """Return a new algorithm with a tiny network, the same for the same seed."""
    torch.manual_seed(seed)
    if hparams is None:
        hparams = hparams_for(name, domains, **overrides)
    shape = VECTOR_SHAPE if hparams.get("frozen") else SHAPE
    return registry.get_algorithm_class(name)(shape, CLASSES, domains, hparams)


def build_double(name, domains=3, **overrides):
    """Return a new algorithm in double precision."""
    return build(name, domains, **overrides).double()


def assert_update_follows(
    algorithm, minibatches, objective, expected_keys=("loss",), rtol=1e-6, atol=1e-9
):
    """Check one update against ``objective``, a plain statement of what it minimizes.

    ``objective(twin)`` gets a copy of the algorithm and returns the loss. The gradients that the
    update left, and the parameters after a step of Adam along the objective's, must agree.
    Returns what the update returned, and the loss.
    """
    twin = copy.deepcopy(algorithm)
    loss = objective(twin)
    trained = [p for p in twin.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)

    result = algorithm.update(minibatches)

    assert set(expected_keys) <= set(result)
    found = [p.grad for p in algorithm.parameters() if p.requires_grad]
    for ours, expected in zip(found, gradients, strict=True):
        ours = torch.zeros_like(expected) if ours is None else ours
        torch.testing.assert_close(ours, expected, rtol=rtol, atol=atol)
    optimizer = torch.optim.Adam(
        trained, lr=algorithm.hparams["lr"], weight_decay=algorithm.hparams["weight_decay"]
    )
    for parameter, ours in zip(trained, found, strict=True):
        parameter.grad = ours  # rounding apart the objective's, and Adam sees the same rounding
    optimizer.step()
    for ours, expected in zip(algorithm.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)
    return result, loss.item()


def cross_entropy(logits, y):
    """Return the mean cross-entropy, sample by sample."""
    terms = [torch.log(torch.exp(f).sum()) - f[label] for f, label in zip(logits, y, strict=True)]
    return sum(terms) / len(terms)


def joint_logits(algorithm, minibatches):
    """Return the logits of one pass over all domains, cut into domains."""
    x = torch.cat([x for x, _ in minibatches])
    return algorithm.network(x).split([len(y) for _, y in minibatches])


def assert_same_parameters(one, other, atol=0.0):
    """Check that two algorithms have the same parameters, by name."""
    expected = dict(other.named_parameters())
    for name, parameter in one.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=0, atol=atol, msg=name)
