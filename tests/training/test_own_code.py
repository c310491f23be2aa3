"""What a run says of mistakes in an algorithm or a dataset that somebody has just written."""

import re

import numpy as np
import pytest
import torch

from ndcl_domainbed.hparams import Hparams
from ndcl_domainbed.testbed import datasets
from ndcl_domainbed.testbed.algorithms.erm import ERM
from ndcl_domainbed.testbed.datasets.debug import Debug28
from tests.training.runs import records, train_shortly


def _return_from_update(monkeypatch, returned):
    monkeypatch.setattr(ERM, "update", lambda self, minibatches, unlabeled=None: returned)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "ERM.update() returned None at step 0"),
        (torch.tensor(0.5), "ERM.update() returned tensor(0.5000) at step 0"),
        ({"loss": torch.ones(2)}, "ERM.update() returned 'loss': tensor([1., 1.]) at step 0"),
        ({"loss": None}, "ERM.update() returned 'loss': None at step 0"),
        ({1: 0.5}, "ERM.update() returned 1: 0.5 at step 0"),
    ],
    ids=["nothing", "tensor", "several", "none", "key"],
)
def test_an_update_that_returns_no_numbers_is_named(returned, said, tmp_path, monkeypatch):
    _return_from_update(monkeypatch, returned)
    outcome = train_shortly(tmp_path)
    assert outcome.status == 1
    assert outcome.err.startswith(f"error: {said}.\nIt must return a dict of numbers")
    assert len(outcome.err.splitlines()) == 2


def test_an_update_cannot_use_a_name_that_a_record_has_already(tmp_path, monkeypatch):
    """Every name that a record has, of one domain, but for those that ERM returns."""
    more = ["--imbalance", "Balanced"]
    plain, spoilt = tmp_path / "plain", tmp_path / "spoilt"
    assert train_shortly(plain, *more).status == 0
    names = records(plain)[0].keys() - {"loss"}
    assert {"step", "step_time", "epoch", "args", "env0_in_acc", "env2_out_acc"} <= names
    for name in {re.sub(r"\d+", "0", name): name for name in sorted(names)}.values():
        _return_from_update(monkeypatch, {"loss": 0.5, name: 1.0})
        outcome = train_shortly(spoilt, *more)
        assert outcome.status == 2
        assert outcome.err == (
            f"error: ERM.update() returned '{name}' at step 0, a name that the run's own records "
            "use: return the value under another name.\n"
        )
    assert not (spoilt / "results.jsonl").exists()


def test_numbers_of_other_kinds_are_recorded(tmp_path, monkeypatch):
    loss = torch.tensor([0.5], requires_grad=True)
    returned = {"loss": loss, "norm": np.float32(2), "on": True, "env0_risk": 9}
    _return_from_update(monkeypatch, returned)
    outcome = train_shortly(tmp_path)
    assert outcome.status == 0, outcome.err
    first, last = records(tmp_path)
    expected = {"loss": 0.5, "norm": 2.0, "on": 1.0, "env0_risk": 9.0}
    assert first.items() >= expected.items() <= last.items()


def test_a_hyper_parameter_that_nothing_declares_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ERM, "update", lambda self, *given: {"loss": self.hparams["temperature"]})
    outcome = train_shortly(tmp_path)
    assert outcome.status == 2
    first, second = outcome.err.splitlines()
    assert first.startswith("error: the hyper-parameter 'temperature' is declared nowhere")
    assert second.startswith("Declared: adapter_depth, adapter_dropout, ")


def test_an_undeclared_hyper_parameter_is_a_key_error_as_in_a_plain_dict():
    with pytest.raises(KeyError, match="Declared: lr"):
        Hparams(lr=0.1)["LR"]
    assert Hparams(lr=0.1).get("LR") is None


def test_a_source_without_a_training_image_is_named(tmp_path):
    """As in a table whose author wants to do without a domain."""
    table = tmp_path / "table.csv"
    counts = {"1": 3, "2": 0}
    rows = [f"0,{source},{name},{n}" for source, n in counts.items() for name in ("0", "1")]
    table.write_text("\n".join(["target,source,class,count", *rows]))
    outcome = train_shortly(tmp_path / "run", "--imbalance", table)
    assert outcome.status == 2
    first, second = outcome.err.splitlines()
    assert first == f"error: --imbalance {table} leaves the source 2 without a training image."
    assert second == "Give it some, or leave the domain out of the dataset."


@pytest.fixture
def own_dataset(monkeypatch):
    """Register a dataset, whose images are Debug28's, and which a test spoils."""

    class Own(Debug28):
        spoilt = (0, 0, 0)

        def __init__(self, root, test_envs, hparams):
            super().__init__(root, test_envs, hparams)
            domain, image, label = self.spoilt
            self.datasets[domain].targets[image] = label
            self.datasets[domain].tensors[1][image] = label

    monkeypatch.setitem(datasets.classes(), "Own", Own)
    return Own


@pytest.mark.parametrize("imbalance", ["none", "TotalHeavyTail"])
@pytest.mark.parametrize("spoilt", [(0, 3, 2), (2, 5, -1)], ids=["target", "source"])
def test_a_label_that_is_no_class_is_named(own_dataset, spoilt, imbalance, tmp_path):
    own_dataset.spoilt = spoilt
    outcome = train_shortly(
        tmp_path, "--dataset", "Own", "--test_envs", 0, "--imbalance", imbalance
    )
    domain, image, label = spoilt
    assert outcome.status == 2
    assert f"Own, domain {domain}: image {image} has the label {label}, " in outcome.err
    assert "labels are 0 to 1, for num_classes = 2" in outcome.err
    assert len(outcome.err.splitlines()) == 2
