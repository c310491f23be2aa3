import pytest
import torch

from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    cross_entropy,
    joint_logits,
    random_minibatches,
)

KEYS = ("update_count", "total_loss", "erm_loss", "matching_penalty", "variance_penalty")


def plain_kernel(u, v):
    """Return the mean kernel over all pairs, in a double loop."""
    pairs = [(a - b) ** 2 for a in u for b in v]
    return sum(sum(torch.exp(-(10.0**p) * q) for p in range(-4, 4)) for q in pairs) / len(pairs)


def plain_variance(risks):
    middle = sum(risks) / len(risks)
    return sum((r - middle) ** 2 for r in risks) / (len(risks) - 1)


@pytest.mark.parametrize("sizes", [(4, 4, 4), (5, 3, 4), (6,)])
def test_update_minimizes_risk_then_the_distance_to_the_worst_domain(sizes):
    minibatches = random_minibatches(sizes, dtype=torch.float64)
    algorithm = build_double(
        "RDM",
        len(sizes),
        rdm_lambda=0.8,
        variance_weight=0.02,
        rdm_penalty_anneal_iters=1,
        rdm_lr=1e-3,
    )
    for is_on in (False, True):
        parts = {}

        def objective(twin, is_on=is_on, parts=parts):
            domains = [
                [cross_entropy(f[None], k[None]) for f, k in zip(logits, y, strict=True)]
                for logits, (_, y) in zip(joint_logits(twin, minibatches), minibatches, strict=True)
            ]
            means = [sum(risks) / len(risks) for risks in domains]
            worst = domains[max(range(len(means)), key=lambda d: means[d].item())]
            everybody = [risk for risks in domains for risk in risks]
            parts["erm_loss"] = sum(means) / len(means)
            parts["matching_penalty"] = (
                plain_kernel(worst, worst)
                + plain_kernel(everybody, everybody)
                - 2 * plain_kernel(worst, everybody)
            )
            parts["variance_penalty"] = plain_variance(everybody) + plain_variance(worst)
            penalty = 0.8 * parts["matching_penalty"] + 0.02 * parts["variance_penalty"]
            return parts["erm_loss"] + (penalty if is_on else 0.0)

        result, loss = assert_update_follows(algorithm, minibatches, objective, KEYS)
        assert result["total_loss"] == pytest.approx(loss)
        assert result["rdm_lambda"] == (0.8 if is_on else 0.0)
        for key, value in parts.items():
            assert result[key] == pytest.approx(value.item(), abs=1e-9)


def test_the_switch_brings_its_own_learning_rate():
    algorithm = build_double("RDM", rdm_penalty_anneal_iters=1, rdm_lr=1e-7, weight_decay=0.1)
    minibatches = random_minibatches(dtype=torch.float64)
    counts = [algorithm.update(minibatches)["update_count"] for _ in range(2)]
    assert counts == [1, 2]
    (group,) = algorithm.optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (1e-7, 0.1)
