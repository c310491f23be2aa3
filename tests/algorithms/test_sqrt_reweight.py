import pytest
import torch

from imbalance_splits.errors import InputError
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    minibatches_of,
)

COUNTS = [[64, 16, 4, 1], [9, 1, 0, 4], [3, 0, 0, 0]]


def test_weights_by_hand():
    weights = build("SqrtReWeight", counts=COUNTS).class_weights
    torch.testing.assert_close(weights[0], torch.tensor([1, 2, 4, 8]) * 4 / 15)
    torch.testing.assert_close(weights[1], torch.tensor([2, 6, 0, 3]) * 4 / 11)
    torch.testing.assert_close(weights[2], torch.tensor([4.0, 0, 0, 0]))


def test_update_minimizes_the_weighted_risks():
    algorithm = build_double("SqrtReWeight", counts=COUNTS)
    minibatches = minibatches_of([[0, 1, 2, 3, 0], [0, 3, 3], [0, 0]], dtype=torch.float64)

    def objective(twin):
        total = 0.0
        for (x, y), counts in zip(minibatches, COUNTS, strict=True):
            logits = twin.network(x)
            rows = [cross_entropy(f[None], k[None]) for f, k in zip(logits, y, strict=True)]
            weights = [counts[k] ** -0.5 for k in y.tolist()]
            total = total + sum(w * r for w, r in zip(weights, rows, strict=True)) / sum(weights)
        return total / 3

    # The weights are kept in single precision.
    result, loss = assert_update_follows(algorithm, minibatches, objective, rtol=1e-4, atol=1e-6)
    assert result["loss"] == pytest.approx(loss)


def test_without_label_counts_there_is_an_error():
    with pytest.raises(InputError, match="SqrtReWeight needs the label counts"):
        build("SqrtReWeight", hparams=dict(build("ERM").hparams))
