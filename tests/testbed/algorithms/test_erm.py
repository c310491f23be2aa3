import pytest
import torch

from tests.testbed.algorithms.building import (
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    random_minibatches,
)


def test_update_minimizes_the_mean_over_samples():
    algorithm = build_double("ERM")
    minibatches = random_minibatches((8, 3, 5), dtype=torch.float64)

    def objective(twin):
        x = torch.cat([x for x, _ in minibatches])
        return cross_entropy(twin.network(x), torch.cat([y for _, y in minibatches]))

    result, loss = assert_update_follows(algorithm, minibatches, objective)
    assert result["loss"] == pytest.approx(loss)


def test_weight_decay_and_learning_rate_reach_the_optimizer():
    algorithm = build("ERM", lr=0.123, weight_decay=0.45)
    (group,) = algorithm.optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.123, 0.45)


def test_each_tensor_is_in_the_state_dict_under_both_names():
    state = build("ERM").state_dict()
    featurizer = {key for key in state if key.startswith("featurizer.")}
    assert {f"network.0.{key.removeprefix('featurizer.')}" for key in featurizer} <= set(state)
    assert {"classifier.weight", "network.1.weight", "classifier.bias", "network.1.bias"} <= set(
        state
    )


def test_nonlinear_classifier():
    algorithm = build("ERM", nonlinear_classifier=True, backbone="mnist_cnn")
    state = algorithm.state_dict()
    shapes = [tuple(state[f"classifier.{i}.weight"].shape) for i in (0, 2, 4)]
    assert shapes == [(64, 128), (32, 64), (4, 32)]
