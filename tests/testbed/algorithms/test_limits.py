"""Where an algorithm's own part vanishes, its update is that of empirical risk minimization."""

import pytest
import torch

from tests.testbed.algorithms.building import (
    assert_same_parameters,
    build_double,
    random_minibatches,
)

LIMITS = {
    "IRM": {"irm_lambda": 0.0, "irm_penalty_anneal_iters": 0},
    "VREx": {"vrex_lambda": 0.0, "vrex_penalty_anneal_iters": 0},
    "GroupDRO": {"groupdro_eta": 0.0},
    "CORAL": {"mmd_gamma": 0.0},
    "MMD": {"mmd_gamma": 0.0},
    "SD": {"sd_reg": 0.0},
    "Fishr": {"lambda": 0.0, "penalty_anneal_iters": 0},
    "RDM": {"rdm_lambda": 0.0, "variance_weight": 0.0, "rdm_penalty_anneal_iters": 9},
    "EQRM": {"eqrm_burnin_iters": 9},
    "Focal": {"gamma": 0.0},
    "BoDA": {"macro_weight": 0.0, "boda_weight": 0.0},
    "BSoftmax": {"counts": [[5, 5, 5, 5]] * 3},
    "LDAM": {"max_m": 0.0, "scale": 1.0},
    "ReWeight": {"counts": [[5, 5, 5, 5]] * 3},
}


@pytest.mark.parametrize("name", LIMITS)
def test_without_its_penalty_an_update_is_erms(name):
    # Without batch normalization joint and separate passes through the network agree.
    algorithm = build_double(name, backbone="mnist_cnn", **LIMITS[name])
    erm = build_double("ERM", backbone="mnist_cnn")
    assert_same_parameters(algorithm, erm)
    for seed in range(2):
        minibatches = random_minibatches(seed=seed, dtype=torch.float64)
        algorithm.update(minibatches)
        erm.update(minibatches)
    assert_same_parameters(algorithm, erm, atol=1e-9)


@pytest.mark.parametrize("name", ["Mixup", "GroupDRO", "CORAL", "MMD", "VREx", "IRM", "EQRM"])
def test_one_domain_has_nothing_to_align(name):
    off = {"irm_lambda": 0.0, "irm_penalty_anneal_iters": 0} if name == "IRM" else {}
    algorithm, erm = build_double(name, domains=1, **off), build_double("ERM", domains=1)
    minibatches = random_minibatches([8], dtype=torch.float64)
    algorithm.update(minibatches)
    erm.update(minibatches)
    assert_same_parameters(algorithm, erm, atol=1e-9)
