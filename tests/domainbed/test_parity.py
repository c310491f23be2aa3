"""The embedded algorithms against the classes of a real DomainBed checkout.

Run with ``DOMAINBED_HOME=<checkout> pytest tests/domainbed``.
"""

import importlib
import os
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.testbed import algorithms as embedded
from ndcl_domainbed.testbed.hparams_registry import ADAPTER, NETWORK, hparams_of

HOME = os.environ.get("DOMAINBED_HOME")

pytestmark = [
    pytest.mark.domainbed,
    pytest.mark.filterwarnings("ignore"),  # the checkout's own
]

SHAPE, CLASSES, DOMAINS, SIZE = (3, 28, 28), 4, 3, 8

SHARED = [
    *("ERM", "IRM", "GroupDRO", "Mixup", "MLDG", "CORAL", "MMD", "DANN", "CDANN", "SagNet", "VREx"),
    *("RSC", "Fishr", "RDM", "SelfReg", "EQRM", "Fish", "SD", "MTL", "ARM"),
]

UPDATES = {
    "ERM": {},
    "ERM, nonlinear, decayed": {"nonlinear_classifier": True, "weight_decay": 1e-2},
    "IRM": {},
    "IRM, switched": {"irm_penalty_anneal_iters": 2, "irm_lambda": 10.0},
    "GroupDRO": {},
    "GroupDRO, fast": {"groupdro_eta": 0.1},
    "Mixup": {},
    "MLDG": {},
    "MLDG, one to test": {"n_meta_test": 1, "mldg_beta": 0.5, "weight_decay": 1e-3},
    "CORAL": {},
    "MMD": {},
    "DANN": {},
    "DANN, penalized": {"grad_penalty": 0.5, "d_steps_per_g_step": 2, "beta1": 0.0},
    "CDANN": {},
    "CDANN, penalized": {"grad_penalty": 0.5, "d_steps_per_g_step": 2},
    "SagNet": {},
    "VREx": {},
    "VREx, switched": {"vrex_penalty_anneal_iters": 2, "vrex_lambda": 100.0},
    "RSC": {},
    "RSC, more": {"rsc_f_drop_factor": 0.47, "rsc_b_drop_factor": 0.41},
    "SelfReg": {},
    "EQRM": {},
    "EQRM, switched": {"eqrm_burnin_iters": 2, "eqrm_lr": 1e-4},
    "Fish": {},
    "SD": {},
    "MTL": {},
    "ARM": {},
}
"""Hyper-parameters that differ from the defaults, per case."""

DOUBLE = {"CORAL", "MMD", "SelfReg", "EQRM, switched"}
"""Cases in double precision: they add numbers up in another order than DomainBed, and Adam makes
a whole step of a rounding error where a gradient is almost zero."""


@pytest.fixture(scope="module")
def reference():
    """The checkout's modules of algorithms and hyper-parameters."""
    sys.path.insert(0, HOME)
    try:
        yield SimpleNamespace(
            algorithms=importlib.import_module("domainbed.algorithms"),
            hparams=importlib.import_module("domainbed.hparams_registry"),
        )
    finally:
        sys.path.remove(HOME)


def _minibatches(step):
    """Return the minibatches of one step; the highest class is in each."""
    generator = torch.Generator().manual_seed(step)
    minibatches = []
    for _ in range(DOMAINS):
        x = torch.randn(SIZE, *SHAPE, generator=generator)
        y = torch.randint(CLASSES, (SIZE,), generator=generator)
        y[0] = CLASSES - 1
        minibatches.append((x, y))
    return minibatches


def _seed_all(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _train(algorithm, dtype):
    for step in range(3):
        _seed_all(step)
        algorithm.update([(x.to(dtype), y.clone()) for x, y in _minibatches(step)], None)


@pytest.mark.parametrize("case", UPDATES)
def test_three_updates_end_in_the_same_parameters(case, reference):
    name = case.split(",")[0]
    hparams = reference.hparams.default_hparams(name, "Debug28") | UPDATES[case]
    if name == "ARM":
        hparams["batch_size"] = SIZE
    dtype = torch.float64 if case in DOUBLE else torch.float32
    _seed_all(0)
    theirs = getattr(reference.algorithms, name)(SHAPE, CLASSES, DOMAINS, hparams).to(dtype)
    ours = embedded.classes()[name](SHAPE, CLASSES, DOMAINS, hparams).to(dtype)
    start = {key: value.clone() for key, value in theirs.state_dict().items()}
    start.pop("q", None)  # GroupDRO's weights, which DomainBed makes at its first update
    missing, unexpected = ours.load_state_dict(start, strict=False)
    assert not unexpected
    assert set(missing) <= {"q"}

    _train(theirs, dtype)
    _train(ours, dtype)

    found = ours.state_dict()
    for key, expected in theirs.state_dict().items():
        if not key.startswith("network_inner."):  # Fish's copy of its network
            torch.testing.assert_close(found[key], expected, atol=1e-5, rtol=0, msg=key)
    assert any(not torch.equal(found[key], value) for key, value in start.items())


@pytest.mark.parametrize("name", SHARED)
def test_hparams_agree(name, reference):
    declared = hparams_of(embedded.classes()[name])
    for dataset in ("Debug28", "ColoredMNIST", "PACS", "OfficeHome", "DomainNet"):
        theirs = reference.hparams.default_hparams(name, dataset)
        ours = {key: hparam.default_for(dataset) for key, hparam in declared.items()}
        assert {key: ours.get(key) for key in theirs} == theirs
        assert set(ours) - set(theirs) <= {*NETWORK, *ADAPTER, "as_published", "sam_rho"}
        for trial in range(40):
            seed = seed_hash(trial + 1, trial % 3)
            theirs = reference.hparams.random_hparams(name, dataset, seed)
            ours = {key: declared[key].random_for(dataset, key, seed) for key in theirs}
            assert ours == theirs, (dataset, seed)
