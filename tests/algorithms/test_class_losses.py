"""Algorithms that change the cross-entropy by label counts, against plain loops over samples."""

import pytest
import torch

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.focal import focal_loss
from ndcl_domainbed.backend import get_dataset_class
from ndcl_domainbed.hparams import SHORT_RUN, VECTORS
from ndcl_domainbed.registry import default_hparams
from tests.testbed.algorithms.building import (
    assert_same_parameters,
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    minibatches_of,
    random_minibatches,
)

COUNTS = [[16, 81, 1, 256], [1, 1, 0, 16], [3, 0, 0, 0]]
POOLED = [20, 82, 1, 272]
PRESENT = [[0, 1, 2, 3, 0], [0, 1, 3], [0, 0]]
ABSENT = [[0, 1, 2, 3, 0], [0, 2, 3], [0, 1]]  # some have no training image in their domain

# What a sample of class k adds, of its logits and the counts of its domain.


def plain_risk(f, k, counts):
    return cross_entropy(f[None], torch.tensor([k]))


def margin_risk(f, k, counts):
    fewest = min(n for n in counts if n)
    margin = 0.6 * (fewest / counts[k]) ** 0.25 if counts[k] else 0.0
    return plain_risk(10 * (f - margin * torch.eye(4, dtype=f.dtype)[k]), k, counts)


def softmax_risk(f, k, priors):
    priors = torch.tensor([p or 1.0 for p in priors], dtype=f.dtype)  # an absent class: no shift
    return -torch.log(priors[k] * torch.exp(f[k]) / (priors * torch.exp(f)).sum())


def smoothed_risk(f, k, counts):
    smooth = [n + 4.0 * p / sum(POOLED) for n, p in zip(counts, POOLED, strict=True)]
    return softmax_risk(f, k, smooth)


def tempered_risk(f, k, counts):
    return softmax_risk(f, k, [n**0.5 for n in counts])


def pooled_risk(f, k, counts):
    return softmax_risk(f, k, POOLED)


# The weight of a sample.


def equal(k, counts):
    return 1.0


def inverse(k, counts):
    return 1 / counts[k]


def inverse_root(k, counts):
    return counts[k] ** -0.5


def class_balanced(k, counts):
    alphas = [(1 - 0.9) / (1 - 0.9**n) if n else 0.0 for n in counts]
    return 4 * alphas[k] / sum(alphas)


LDAM = {"max_m": 0.6, "scale": 10.0}
CASES = [
    ("LDAM", LDAM, ABSENT, margin_risk, equal, sum),
    ("LDAM_DRW", {**LDAM, "drw_start_step": 0}, PRESENT, margin_risk, inverse, sum),
    ("ReWeight", {}, PRESENT, plain_risk, inverse, sum),
    ("SqrtReWeight", {}, PRESENT, plain_risk, inverse_root, sum),
    ("CBLoss", {"beta": 0.9}, PRESENT, plain_risk, class_balanced, len),
    ("BSoftmax", {"prior_strength": 0.0}, ABSENT, softmax_risk, equal, sum),
    ("BSoftmax", {"prior_strength": 4.0}, ABSENT, smoothed_risk, equal, sum),
    ("LA", {"prior": "domain", "tau": 1.0}, ABSENT, softmax_risk, equal, sum),
    ("LA", {"prior": "domain", "tau": 0.5}, ABSENT, tempered_risk, equal, sum),
    ("LA", {"prior": "pooled", "tau": 1.0}, ABSENT, pooled_risk, equal, sum),
    ("LA", {"prior": "domain", "prior_strength": 4.0}, ABSENT, smoothed_risk, equal, sum),
    ("LA", {"tau": 0.0}, ABSENT, plain_risk, equal, sum),
]


@pytest.mark.parametrize(("name", "hparams", "labels", "risk", "weigh", "total"), CASES)
def test_update_minimizes_the_mean_risk_of_the_domains(name, hparams, labels, risk, weigh, total):
    algorithm = build_double(name, counts=COUNTS, **hparams)
    minibatches = minibatches_of(labels, dtype=torch.float64)

    def objective(twin):
        means = 0.0
        for (x, _), y, counts in zip(minibatches, labels, COUNTS, strict=True):
            weights = [weigh(k, counts) for k in y]
            risks = [risk(f, k, counts) for f, k in zip(twin.network(x), y, strict=True)]
            weighted = [w * r for w, r in zip(weights, risks, strict=True)]
            means = means + sum(weighted) / total(weights)
        return means / 3

    # Weights, margins and shifts are kept in single precision.
    result, loss = assert_update_follows(algorithm, minibatches, objective, rtol=1e-4, atol=1e-6)
    assert result["loss"] == pytest.approx(loss)


@pytest.mark.parametrize("name", ["BSoftmax", "ReWeight", "SqrtReWeight"])
def test_without_label_counts_there_is_an_error(name):
    with pytest.raises(InputError, match=f"{name} needs the label counts"):
        build(name, hparams=dict(build("ERM").hparams))


def test_predictions_are_not_shifted_and_the_state_dict_is_that_of_erm():
    algorithm = build("BSoftmax", counts=COUNTS).eval()
    x = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(algorithm.predict(x), algorithm.network(x), rtol=0, atol=0)
    assert set(algorithm.state_dict()) == set(build("ERM").state_dict())


@pytest.mark.parametrize("gamma", [0.5, 1.0, 4.5])
def test_update_minimizes_the_mean_focal_loss(gamma):
    algorithm = build_double("Focal", gamma=gamma)
    minibatches = random_minibatches((8, 3, 5), dtype=torch.float64)
    x, y = torch.cat([x for x, _ in minibatches]), torch.cat([y for _, y in minibatches])

    def objective(twin):
        p = torch.stack([f.softmax(0)[k] for f, k in zip(twin.network(x), y, strict=True)])
        return ((1 - p) ** gamma * -torch.log(p)).mean()

    result, loss = assert_update_follows(algorithm, minibatches, objective)
    assert result["loss"] == pytest.approx(loss)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("margin", [0.0, 15.0, 50.0, 500.0])
def test_a_perfect_prediction_has_a_finite_focal_gradient(gamma, margin):
    logits = torch.tensor([[margin, 0.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0]), gamma)
    loss.backward()
    assert 0 <= loss.item() < 1
    assert bool(torch.isfinite(logits.grad).all())


def test_a_smoothed_prior_is_refused_where_it_would_have_no_effect():
    with pytest.raises(InputError, match="LA's prior is 'pooled': set prior to 'domain'"):
        build("LA", prior="pooled", prior_strength=4.0, counts=COUNTS)


def test_beta_leads_from_equal_weights_to_inverse_frequency():
    equal_weights = build("CBLoss", counts=COUNTS, beta=0.0).class_weights
    torch.testing.assert_close(equal_weights[0], torch.ones(4))
    torch.testing.assert_close(equal_weights[1], torch.tensor([1.0, 1, 0, 1]) * 4 / 3)
    found = build("CBLoss", counts=COUNTS, beta=1 - 1e-7).class_weights
    expected = build("ReWeight", counts=COUNTS).class_weights
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_before_its_start_deferred_reweighting_is_ldam():
    settings = {"counts": [*COUNTS[:2], [3, 2, 0, 0]], **LDAM}
    ldam, deferred = build("LDAM", **settings), build("LDAM_DRW", drw_start_step=2, **settings)
    for seed in range(3):
        minibatches = random_minibatches(seed=seed)
        same = ldam.update(minibatches) == deferred.update(minibatches)
        assert same == (seed < 2)
        if same:
            assert_same_parameters(ldam, deferred)


@pytest.mark.parametrize("dataset", ["PACS", "DomainNet", "DigitsDG", VECTORS])
def test_deferred_reweighting_is_the_last_fifth_of_a_run(dataset):
    steps = SHORT_RUN if dataset == VECTORS else get_dataset_class(dataset).N_STEPS
    start = default_hparams("LDAM_DRW", dataset)["drw_start_step"]
    assert start / steps == pytest.approx(0.8, abs=0.01)
