import numpy as np
import pytest
import torch

from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    cross_entropy,
    joint_logits,
    random_minibatches,
)

MINIBATCHES = random_minibatches((8, 5, 6), dtype=torch.float64)
KEYS = {"IRM": ("loss", "nll", "penalty"), "VREx": ("loss", "nll", "mean_nll", "penalty")}


def derivative(logits, y):
    """d/ds CE(s f, y) at s = 1 is the mean of Σ_k p_k f_k - f_y."""
    terms = [
        (torch.exp(f) / torch.exp(f).sum() * f).sum() - f[label]
        for f, label in zip(logits, y, strict=True)
    ]
    return sum(terms) / len(terms) if terms else 0.0


def irm(twin, weight):
    risks, penalties = [], []
    for logits, (_, y) in zip(joint_logits(twin, MINIBATCHES), MINIBATCHES, strict=True):
        risks.append(cross_entropy(logits, y))
        even, odd = range(0, len(y), 2), range(1, len(y), 2)
        penalties.append(
            derivative(logits[even], [y[i] for i in even])
            * derivative(logits[odd], [y[i] for i in odd])
        )
    return sum(risks) / 3 + weight * sum(penalties) / 3


def vrex(twin, weight):
    logits = joint_logits(twin, MINIBATCHES)
    risks = [cross_entropy(f, y) for f, (_, y) in zip(logits, MINIBATCHES, strict=True)]
    middle = sum(risks) / 3
    return middle + weight * sum((risk - middle) ** 2 for risk in risks) / 3


@pytest.mark.parametrize(("name", "plain"), [("IRM", irm), ("VREx", vrex)])
@pytest.mark.parametrize(("anneal", "weight"), [(5, 1.0), (0, 7.0)])
def test_update_minimizes_the_objective(name, plain, anneal, weight):
    prefix = name.lower()
    overrides = {f"{prefix}_lambda": 7.0, f"{prefix}_penalty_anneal_iters": anneal}
    algorithm = build_double(name, **overrides)
    result, loss = assert_update_follows(
        algorithm, MINIBATCHES, lambda twin: plain(twin, weight), KEYS[name]
    )
    assert result["loss"] == pytest.approx(loss)


@pytest.mark.parametrize("name", ["IRM", "VREx"])
def test_the_optimizer_is_renewed_at_the_switch_and_only_there(name):
    algorithm = build_double(name, **{f"{name.lower()}_penalty_anneal_iters": 2})
    optimizers = []
    for _ in range(4):
        algorithm.update(MINIBATCHES)
        optimizers.append(algorithm.optimizer)
    assert optimizers[0] is optimizers[1]
    assert optimizers[1] is not optimizers[2]
    assert optimizers[2] is optimizers[3]
    assert algorithm.update_count.tolist() == [4]


def test_vrex_logs_the_last_domain_and_the_mean():
    algorithm = build_double("VREx")
    logits = joint_logits(algorithm, MINIBATCHES)
    risks = [cross_entropy(f, y).item() for f, (_, y) in zip(logits, MINIBATCHES, strict=True)]
    result = algorithm.update(MINIBATCHES)
    assert result["nll"] == pytest.approx(risks[-1])
    assert result["mean_nll"] == pytest.approx(np.mean(risks))
    assert result["penalty"] == pytest.approx(np.var(risks))
