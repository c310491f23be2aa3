import pytest
import torch

from imbalance_splits.errors import InputError
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build,
    build_double,
    minibatches_of,
)

COUNTS = [[8, 4, 2, 1], [1, 1, 0, 2], [3, 0, 0, 0]]


@pytest.mark.parametrize("strength", [0.0, 4.0])
def test_update_minimizes_the_balanced_risks(strength):
    algorithm = build_double("BSoftmax", counts=COUNTS, prior_strength=strength)
    minibatches = minibatches_of([[0, 1, 2, 3, 0], [0, 2, 3], [0, 1]], dtype=torch.float64)

    def objective(twin):
        total = 0.0
        for (x, y), counts in zip(minibatches, COUNTS, strict=True):
            shares = [sum(row[k] for row in COUNTS) / sum(map(sum, COUNTS)) for k in range(4)]
            smooth = [n + strength * share for n, share in zip(counts, shares, strict=True)]
            present = torch.tensor([n or 1.0 for n in smooth])  # an absent class: shift 0
            logits = twin.network(x)
            terms = [
                -torch.log(present[k] * torch.exp(f[k]) / (present * torch.exp(f)).sum())
                for f, k in zip(logits, y, strict=True)
            ]
            total = total + sum(terms) / len(terms)
        return total / 3

    # The logs of the counts are kept in single precision.
    result, loss = assert_update_follows(algorithm, minibatches, objective, rtol=1e-4, atol=1e-6)
    assert result["loss"] == pytest.approx(loss)


def test_predictions_are_not_shifted():
    algorithm = build("BSoftmax", counts=COUNTS).eval()
    x = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(algorithm.predict(x), algorithm.network(x), rtol=0, atol=0)


def test_state_dict_is_that_of_erm():
    assert set(build("BSoftmax").state_dict()) == set(build("ERM").state_dict())


def test_without_label_counts_there_is_an_error():
    with pytest.raises(InputError, match="BSoftmax needs the label counts"):
        build("BSoftmax", hparams=dict(build("ERM").hparams))
