import numpy as np
import pytest
import torch

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.reweight import inverse_frequencies
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    minibatches_of,
)

COUNTS = [[8, 4, 2, 1], [1, 1, 0, 2], [3, 0, 0, 0]]
LABELS = [[0, 1, 2, 3, 0], [0, 3, 3], [0, 0]]


def test_weights_are_inverse_frequencies_with_sum_k():
    weights = inverse_frequencies(np.array(COUNTS, dtype=float))
    np.testing.assert_allclose(weights[0], np.array([1, 2, 4, 8]) * 4 / 15)
    np.testing.assert_allclose(weights[1], [1.6, 1.6, 0, 0.8])
    np.testing.assert_allclose(weights[2], [4, 0, 0, 0])


def test_counts_are_left_as_they_are():
    counts = np.array(COUNTS, dtype=float)
    inverse_frequencies(counts)
    np.testing.assert_array_equal(counts, COUNTS)


def test_update_minimizes_the_weighted_risks():
    algorithm = build_double("ReWeight", counts=COUNTS)
    minibatches = minibatches_of(LABELS, dtype=torch.float64)

    def objective(twin):
        total = 0.0
        for (x, y), counts in zip(minibatches, COUNTS, strict=True):
            logits = twin.network(x)
            rows = [cross_entropy(f[None], k[None]) for f, k in zip(logits, y, strict=True)]
            weights = [1 / counts[k] for k in y.tolist()]
            total = total + sum(w * r for w, r in zip(weights, rows, strict=True)) / sum(weights)
        return total / 3

    result, loss = assert_update_follows(algorithm, minibatches, objective)
    assert result["loss"] == pytest.approx(loss)


def test_without_label_counts_there_is_an_error():
    with pytest.raises(InputError, match="ReWeight needs the label counts"):
        build("ReWeight", hparams=dict(build("ERM").hparams))
