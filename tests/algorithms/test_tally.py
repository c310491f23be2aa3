import numpy as np
import pytest
import torch

from tests.testbed.algorithms.building import (
    assert_same_parameters,
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    minibatches_of,
    random_minibatches,
)

LABELS = [[0, 1, 2, 0, 0], [0, 2, 2], [1, 1, 0, 0]]  # no class 3; class 2 in two domains


def take_apart(z, labels):
    """Return content, means and deviations, sample by sample and domain by domain."""
    content, means, deviations, start = [], [], [], 0
    for of_domain in labels:
        rows = z[start : start + len(of_domain)]
        start += len(of_domain)
        means.append(sum(rows) / len(rows))
        deviations.append((sum((row - means[-1]) ** 2 for row in rows) / len(rows) + 1e-5).sqrt())
        content += [(row - means[-1]) / deviations[-1] for row in rows]
    return content, means, deviations


def mean_contents(content, labels, k):
    """Return the mean content of class k in each domain that has it."""
    places = [(d, label) for d, of_domain in enumerate(labels) for label in of_domain]
    found = []
    for d in range(len(labels)):
        own = [row for row, place in zip(content, places, strict=True) if place == (d, k)]
        if own:
            found.append(sum(own) / len(own))
    return found


def test_before_the_start_it_is_erm():
    tally, erm = build("TALLY", tally_start_step=5), build("ERM")
    for seed in range(3):
        minibatches = random_minibatches(seed=seed)
        assert tally.update(minibatches) == erm.update(minibatches)
    assert_same_parameters(erm, tally)


def test_prototypes_average_domains_and_move_slowly():
    algorithm = build_double("TALLY", prototype_momentum=0.75, tally_start_step=99, lr=0.0)
    expected = {}
    for seed in range(3):
        minibatches = minibatches_of(LABELS, seed, dtype=torch.float64)
        z = algorithm.featurizer(torch.cat([x for x, _ in minibatches])).detach()
        content, _, _ = take_apart(z, LABELS)
        for k in range(3):
            means = mean_contents(content, LABELS, k)
            found = sum(means) / len(means)
            expected[k] = 0.75 * expected[k] + 0.25 * found if k in expected else found
        algorithm.update(minibatches)
    for k, vector in expected.items():
        torch.testing.assert_close(algorithm.prototypes[k], vector)
    assert algorithm.seen.tolist() == [True, True, True, False]
    assert not algorithm.prototypes[3].any()


def test_update_minimizes_the_risk_of_features_and_augmented_features():
    algorithm = build_double("TALLY", tally_start_step=0, tally_alpha=0.7)
    minibatches = minibatches_of(LABELS, dtype=torch.float64)
    y = torch.cat([y for _, y in minibatches])

    def objective(twin):
        z = twin.featurizer(torch.cat([x for x, _ in minibatches]))
        content, means, deviations = take_apart(z, LABELS)
        prototypes = {
            k: (sum(found) / len(found)).detach()
            for k in range(3)
            for found in [mean_contents(content, LABELS, k)]
        }
        np.random.seed(4), torch.manual_seed(4)
        shares = np.random.beta(0.7, 0.7, size=(len(y), 1))[:, 0]
        chosen = torch.randint(3, (len(y),)).tolist()
        augmented = [
            deviations[e] * (share * s + (1 - share) * prototypes[int(k)]) + means[e]
            for s, k, share, e in zip(content, y, shares.tolist(), chosen, strict=True)
        ]
        logits = twin.classifier(torch.cat([z, torch.stack(augmented)]))
        np.random.seed(4), torch.manual_seed(4)
        return cross_entropy(logits, torch.cat([y, y]))

    result, loss = assert_update_follows(algorithm, minibatches, objective)
    assert result["loss"] == pytest.approx(loss)
