import math

import pytest
import torch

from ndcl_domainbed.algorithms.bcl import balanced_contrast
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    cross_entropy,
    minibatches_of,
)

COUNTS = [[8, 4, 2, 1], [1, 1, 0, 2], [3, 0, 0, 0]]


def plain_contrast(z, y, centers, temperature):
    """Loop over anchors, positives and classes, as the paper's sum is written."""
    total = 0.0
    for i, anchor in enumerate(z):
        members = {
            k: [z[j] for j in range(len(z)) if j != i and y[j] == k] + [centers[k]]
            for k in range(len(centers))
        }
        below = sum(
            sum(torch.exp(anchor @ other / temperature) for other in others) / len(others)
            for others in members.values()
        )
        positives = members[int(y[i])]
        terms = [torch.log(torch.exp(anchor @ p / temperature) / below) for p in positives]
        total = total - sum(terms) / len(positives)
    return total / len(z)


def unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 0, 1], [3, 3, 3], [2], [0, 1, 2, 3]])
def test_the_contrast_is_the_papers_sum(labels):
    generator = torch.Generator().manual_seed(len(labels))
    z = unit(torch.randn(len(labels), 5, generator=generator, dtype=torch.float64))
    centers = unit(torch.randn(4, 5, generator=generator, dtype=torch.float64))
    z.requires_grad_(), centers.requires_grad_()
    found = balanced_contrast(z, torch.tensor(labels), centers, 0.3)
    expected = plain_contrast(z, torch.tensor(labels), centers, 0.3)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, (z, centers)), torch.autograd.grad(expected, (z, centers)),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("nonlinear", [False, True])
def test_update_minimizes_compensated_risk_and_contrast(nonlinear):
    algorithm = build_double(
        "BCL", counts=COUNTS, contrast_weight=0.7, temperature=0.5, projection_width=6,
        nonlinear_classifier=nonlinear,
    )  # fmt: skip
    minibatches = minibatches_of([[0, 1, 2, 3, 0], [0, 1, 3], [0, 0]], dtype=torch.float64)

    def objective(twin):
        # One pass over all, as in an update: batch normalization sees the whole batch.
        features = twin.featurizer(torch.cat([x for x, _ in minibatches]))
        y = torch.cat([y for _, y in minibatches])
        shifts = torch.tensor(
            [
                [math.log(max(n, 1)) for n in row]
                for row, (_, labels) in zip(COUNTS, minibatches, strict=True)
                for _ in labels
            ],
            dtype=torch.float64,
        )
        last = twin.classifier[-1] if nonlinear else twin.classifier
        centers = unit(twin.project_classes(last.weight))
        contrast = plain_contrast(unit(twin.project_features(features)), y, centers, 0.5)
        return cross_entropy(twin.classifier(features) + shifts, y) + 0.7 * contrast

    keys = ("loss", "loss_ce", "loss_con")
    # The logs of the counts are kept in single precision.
    result, loss = assert_update_follows(
        algorithm, minibatches, objective, keys, rtol=1e-4, atol=1e-6
    )
    assert result["loss"] == pytest.approx(loss)
    assert result["loss"] == pytest.approx(result["loss_ce"] + 0.7 * result["loss_con"])
