import copy

import pytest
import torch

from tests.testbed.algorithms.building import build_double, cross_entropy, random_minibatches

MINIBATCHES = random_minibatches((4, 3, 5), dtype=torch.float64)
X = torch.cat([x for x, _ in MINIBATCHES])
Y = torch.cat([y for _, y in MINIBATCHES])


def statistics(row):
    mean = row.sum() / len(row)
    return mean, ((row - mean) ** 2).sum() / (len(row) - 1)


def plain_style(z, shares, other):
    rows = []
    for i, j in enumerate(other.tolist()):
        (mean, var), (mean_j, var_j) = statistics(z[i]), statistics(z[j])
        a = shares[i, 0].double()
        normalized = (z[i] - mean) / torch.sqrt(var + 1e-5)
        new_mean, new_var = a * mean + (1 - a) * mean_j, a * var + (1 - a) * var_j
        rows.append(normalized * torch.sqrt(new_var + 1e-5) + new_mean)
    return torch.stack(rows)


def plain_content(z, other):
    rows = []
    for i, j in enumerate(other.tolist()):
        (mean, var), (mean_j, var_j) = statistics(z[i]), statistics(z[j])
        content = ((z[j] - mean_j) / torch.sqrt(var_j + 1e-5)).detach()
        rows.append(content * torch.sqrt(var + 1e-5) + mean)
    return torch.stack(rows)


def test_the_three_passes():
    algorithm = build_double("SagNet", sag_w_adv=0.3)
    twin = copy.deepcopy(algorithm)
    torch.manual_seed(5)
    draws = [(torch.rand(12, 1), torch.randperm(12)) for _ in range(3)]

    losses = {}
    losses["loss_c"] = cross_entropy(twin.network_c(plain_style(twin.network_f(X), *draws[0])), Y)
    descend(losses["loss_c"], twin, twin.optimizer_f, twin.optimizer_c)
    style = plain_content(twin.network_f(X), draws[1][1])
    losses["loss_s"] = cross_entropy(twin.network_s(style), Y)
    descend(losses["loss_s"], twin, twin.optimizer_s)
    logits = twin.network_s(plain_content(twin.network_f(X), draws[2][1]))
    uniform = sum(-torch.log(torch.softmax(f, 0)).mean() for f in logits) / len(logits)
    losses["loss_adv"] = 0.3 * uniform
    descend(losses["loss_adv"], twin, twin.optimizer_f)

    torch.manual_seed(5)
    result = algorithm.update(MINIBATCHES)

    assert result == pytest.approx({key: loss.item() for key, loss in losses.items()})
    # Adam's second moments are those of the gradients, whose rounding its steps may blow up.
    for name in ("optimizer_f", "optimizer_c", "optimizer_s"):
        ours, plain = getattr(algorithm, name).state, getattr(twin, name).state
        for found, expected in zip(ours.values(), plain.values(), strict=True):
            for moment in ("exp_avg", "exp_avg_sq"):
                torch.testing.assert_close(found[moment], expected[moment], rtol=1e-5, atol=1e-9)


def descend(loss, twin, *optimizers):
    twin.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
