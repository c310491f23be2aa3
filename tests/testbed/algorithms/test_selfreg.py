import numpy as np
import pytest
import torch

from tests.testbed.algorithms.building import (
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    minibatches_of,
)

LABELS = [[0, 3, 0, 1], [3, 3, 0], [1, 0, 3, 3]]  # class 2 is absent
MINIBATCHES = minibatches_of(LABELS, dtype=torch.float64)


def mean_square(a, b):
    return ((a - b) ** 2).sum() / a.numel()


@pytest.mark.parametrize("as_published", [True, False])
def test_update_minimizes_risk_plus_dissimilarities(as_published):
    algorithm = build_double("SelfReg", as_published=as_published)

    def objective(twin):
        np.random.seed(6), torch.manual_seed(6)
        share = np.random.beta(0.5, 0.5)
        x, y = torch.cat([x for x, _ in MINIBATCHES]), torch.cat([y for _, y in MINIBATCHES])
        y, order = torch.sort(y)
        x = x[order]
        first, second = [], []
        for label in sorted(set(y.tolist())):
            members = [i for i, k in enumerate(y.tolist()) if k == label]
            first += [members[i] for i in torch.randperm(len(members)).tolist()]
            second += [members[i] for i in torch.randperm(len(members)).tolist()]
        z = twin.featurizer(x)
        projected, logits = twin.cdpl(z), twin.classifier(z)
        risk = cross_entropy(logits, y)
        loss = risk
        for own, others, weight in ((logits, logits, 1.0), (z, projected, 0.3)):
            mixture = share * others[first] + (1 - share) * others[second]
            unlike = share * mean_square(own, others[first])
            unlike = unlike + (1 - share) * mean_square(own, mixture)
            loss = loss + min(risk.item(), 1.0) * weight * unlike
        return loss

    def seeded(minibatches, update=algorithm.update):
        np.random.seed(6), torch.manual_seed(6)
        return update(minibatches)

    algorithm.update = seeded
    result, loss = assert_update_follows(algorithm, MINIBATCHES, objective)
    assert result["loss"] == pytest.approx(loss)


@pytest.mark.parametrize("as_published", [True, False])
def test_the_projection_is_trained_only_as_published(as_published):
    algorithm = build("SelfReg", as_published=as_published)
    before = algorithm.cdpl[0].weight.clone()
    algorithm.update(minibatches_of(LABELS))
    assert torch.equal(before, algorithm.cdpl[0].weight) is not as_published
