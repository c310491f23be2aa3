"""What --diagnostics records does not depend on the precision that networks compute in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ndcl_domainbed import registry
from ndcl_domainbed.diagnostics.update_watcher import UpdateWatcher
from ndcl_domainbed.errors import InputError
from ndcl_domainbed.training.acceleration import accelerate
from tests.testbed.algorithms.building import CLASSES, build, random_minibatches

CPU = torch.device("cpu")


def _recorded(name, precision):
    """Return the record of an algorithm's first two updates: a discriminator may have the first."""
    algorithm = build(name, backbone="small_cnn", lr=1e-5)
    accelerate(algorithm, CPU, precision=precision, compiled=False)
    watcher = UpdateWatcher(algorithm, [0, 1, 2], CLASSES, CPU, {})
    torch.manual_seed(0), np.random.seed(0)
    for seed in range(2):
        batch = random_minibatches(seed=seed)
        with watcher.watch(batch):
            algorithm.update(batch)
    return watcher.record(1)


@pytest.mark.parametrize("name", registry.algorithm_names())
def test_half_precision_records_what_full_precision_does(name):
    try:
        expected = _recorded(name, "fp32")
    except InputError as refused:
        with pytest.raises(InputError) as same:
            _recorded(name, "bf16")
        assert str(same.value) == str(refused)
        return
    found = _recorded(name, "bf16")
    assert found["updates"] == expected["updates"]
    for figure, values in expected["pairs"].items():
        for value, same in zip(found["pairs"][figure], values, strict=True):
            close = value is same is None or value == pytest.approx(same, rel=0.05)
            assert close, (figure, value, same)
