"""Data frames for analysis: names, losses, hyper-parameters, accuracy by class."""

import math

import pandas as pd
import pytest

from ndcl_domainbed.results import load
from ndcl_domainbed.scripts import export_results
from tests.results.builder import record, write_run

SHARES = {"0_in": 0.2, "0_out": 0.3, "1_in": 0.4, "1_out": 0.8}


@pytest.fixture
def root(tmp_path):
    """Two datasets, one of which names its classes and domains."""
    made = record(5, SHARES, test_envs=[1], dataset="mine", hparams={"lr": 0.1, "sizes": [1, 2]},
                  class_acc={"env1_in": [0.25, None, 0.75]})  # fmt: skip
    made |= {"penalty": 0.5, "env1_in_macro_f1": 0.45, "env0_in_macro_f1": 0.9}
    split = {"environments": ["north", "south"], "classes": ["cat", "dog", "owl"]}
    write_run(tmp_path / "a", [made], split=split)
    made = record(5, SHARES, test_envs=[0], class_acc={"env0_in": [0.5]}, eval_images=None)
    write_run(tmp_path / "b", [made])
    return tmp_path


def test_load_has_what_an_analysis_may_want(root):
    named, other = load(root).to_dict("records")
    assert (named["domain"], named["loss"], named["penalty"]) == ("south", 1.0, 0.5)
    assert (named["class_acc.cat"], named["class_acc.owl"]) == (0.25, 0.75)
    assert (named["hparams.lr"], named["macro_f1"]) == (0.1, 0.45)
    assert (other["domain"], other["class_acc.0"], other["hparams.lr"]) == ("env0", 0.5, 0.001)
    assert all(math.isnan(other[name]) for name in ("class_acc.cat", "penalty", "macro_f1"))
    assert "class_acc.dog" not in named  # no image of it in any record
    fewer = load(root, details=False)
    assert set(fewer["domain"]) == {"south", "env0"}
    assert not [name for name in fewer if name.startswith(("class_acc.", "hparams.", "loss"))]


def test_export_has_the_accuracies_by_class_and_the_macro_f1(root, tmp_path):
    path = tmp_path / "runs.csv"
    flags = ["--input_dir", str(root), "--output", str(path), "--selection", "training"]
    assert export_results.main(flags) == 0
    other, named = pd.read_csv(path).to_dict("records")
    assert (named["domain"], named["class_acc.cat"], named["macro_f1"]) == ("south", 0.25, 0.45)
    assert (other["run"], other["class_acc.0"]) == (f"{root.name}/b", 0.5)
    assert named["overall"] == 0.4  # shares, as everywhere but in tables
