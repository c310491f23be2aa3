import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndcl_domainbed.testbed.algorithms.rsc import quantile
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    cross_entropy,
    random_minibatches,
)

MINIBATCHES = random_minibatches((5, 3, 6), dtype=torch.float64)


def plain_mask(twin, z, y, f_drop, b_drop):
    """Return the mask of Algorithm 1, sample by sample, with numpy's percentiles."""
    z = z.detach().requires_grad_()
    logits = twin.classifier(z)
    (slopes,) = torch.autograd.grad(sum(f[k] for f, k in zip(logits, y, strict=True)), z)
    mask = np.zeros(z.shape, dtype=bool)
    for i, row in enumerate(slopes.numpy()):
        mask[i] = row < np.percentile(row, (1 - f_drop) * 100)
    muted = twin.classifier(z * torch.from_numpy(mask))
    lost = [
        (torch.softmax(f, 0)[k] - torch.softmax(m, 0)[k]).item()
        for f, m, k in zip(logits, muted, y, strict=True)
    ]
    threshold = np.percentile(lost, (1 - b_drop) * 100)
    for i, change in enumerate(lost):
        if change < threshold:
            mask[i] = True
    return torch.from_numpy(mask)


@pytest.mark.parametrize(("f_drop", "b_drop"), [(0.33, 0.36), (0.47, 0.11), (0.03, 0.48)])
@pytest.mark.parametrize("nonlinear", [False, True])
def test_update_minimizes_the_risk_of_the_masked_features(f_drop, b_drop, nonlinear):
    algorithm = build_double(
        "RSC",
        rsc_f_drop_factor=f_drop,
        rsc_b_drop_factor=b_drop,
        nonlinear_classifier=nonlinear,
        backbone="mnist_cnn",
    )

    def objective(twin):
        x, y = torch.cat([x for x, _ in MINIBATCHES]), torch.cat([y for _, y in MINIBATCHES])
        z = twin.featurizer(x)
        mask = plain_mask(twin, z, y, f_drop, b_drop)
        assert 0 < (~mask).sum() < mask.numel()
        return cross_entropy(twin.classifier(z * mask), y)

    result, loss = assert_update_follows(algorithm, MINIBATCHES, objective)
    assert result["loss"] == pytest.approx(loss)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    values=st.lists(st.floats(-10, 10), min_size=1, max_size=9),
    level=st.floats(0, 1, allow_subnormal=False),
)
def test_quantile_is_numpys(values, level):
    found = quantile(torch.tensor(values, dtype=torch.float64), level)
    assert found.shape == (1,)
    assert found.item() == pytest.approx(np.percentile(values, 100 * level), abs=1e-6)


@pytest.mark.parametrize("size", [4, 7, 64, 640])
def test_quantile_at_a_third_hits_the_order_statistic_itself(size):
    values = torch.randn(size)
    expected = values.sort().values[round((size - 1) * 2 / 3)]
    assert quantile(values, 1 - 1 / 3).item() == expected.item()
