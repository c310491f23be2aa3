"""Our scripts on a DomainBed checkout (a user's fork of it), and without one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys

import pytest

from ndcl_domainbed.scripts import collect_results
from tests.domainbed.warm_python import ROOT
from tests.git_command import git
from tests.results.printed import table_lines


def launch(environment, cwd):
    """Launch a sweep in a new interpreter whose environment has ``environment``."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DOMAINBED_HOME", "NDCL_BACKEND")}
    flags = "--command_launcher dummy --datasets Debug28 --algorithms ERM --data_dir d --output_dir"
    return subprocess.run(
        [sys.executable, "-m", "ndcl_domainbed", "sweep", "launch", *flags.split(), "out"],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        cwd=cwd, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def checkout(folder, algorithms):
    (folder / "domainbed").mkdir()
    (folder / "domainbed" / "__init__.py").write_text("")
    (folder / "domainbed" / "algorithms.py").write_text(algorithms)
    return {"NDCL_BACKEND": "domainbed", "DOMAINBED_HOME": str(folder)}


def test_a_backend_that_does_not_exist(tmp_path):
    outcome = launch({"NDCL_BACKEND": "domainbet"}, tmp_path)
    assert outcome.returncode == 2
    assert outcome.stderr == (
        "error: unknown NDCL_BACKEND 'domainbet'; did you mean 'domainbed'? "
        "There are: embedded, domainbed\n"
    )


def test_no_checkout_on_the_module_path(tmp_path):
    outcome = launch({"NDCL_BACKEND": "domainbed"}, tmp_path)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: no DomainBed checkout is on the module path: ")
    assert "DOMAINBED_HOME" in outcome.stderr


def test_a_home_that_holds_no_checkout(tmp_path):
    environment = {"NDCL_BACKEND": "domainbed", "DOMAINBED_HOME": str(tmp_path / "nowhere")}
    outcome = launch(environment, tmp_path)
    assert outcome.returncode == 2
    assert outcome.stderr == (
        f"error: DOMAINBED_HOME={tmp_path}/nowhere holds no DomainBed checkout "
        "(there is no domainbed/algorithms.py in it).\n"
    )


@pytest.mark.parametrize(
    ("algorithms", "message"),
    [
        ("import no_such.thing", "needs the package 'no_such'. Install it: pip install no_such\n"),
        ("1 / 0", "ZeroDivisionError: division by zero ({}/domainbed/algorithms.py, line 1)\n"),
        ("ERM = Algorithm = None", "has no module domainbed.networks: is it complete?\n"),
    ],
)
def test_a_checkout_that_cannot_be_imported(tmp_path, algorithms, message):
    outcome = launch(checkout(tmp_path, algorithms), tmp_path)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: the DomainBed checkout ")
    assert outcome.stderr.endswith(message.format(tmp_path))
    assert outcome.stderr.count("\n") == 1


@pytest.mark.domainbed
def test_the_algorithms_are_domainbeds(python):
    outcome = python.run(
        "-c",
        """if True:
        import domainbed.algorithms
        from ndcl_domainbed import backend, registry
        from ndcl_domainbed.algorithms.ndcl import NDCL
        assert issubclass(NDCL, domainbed.algorithms.Algorithm)
        assert issubclass(NDCL, domainbed.algorithms.ERM)
        assert registry.get_algorithm_class("NDCL") is NDCL
        assert registry.get_algorithm_class("ERM") is domainbed.algorithms.ERM
        assert registry.get_algorithm_class("Mine") is domainbed.algorithms.Mine
        assert {"Mine", "URM", "BoDA", "NDCL"} <= set(registry.algorithm_names())
        assert {"Tiny28", "SVIRO", "DigitsDG"} <= set(backend.dataset_names())
        """,
    )
    assert outcome == (0, "", "")


@pytest.mark.domainbed
def test_hyper_parameters_are_the_checkouts_and_those_of_the_additions(python):
    outcome = python.run(
        "-c",
        """if True:
        import json
        from domainbed import hparams_registry as theirs
        from ndcl_domainbed import registry
        from ndcl_domainbed.algorithms.ndcl import NDCL
        for dataset, known_as in (("PACS", "PACS"), ("DigitsDG", "RotatedMNIST")):
            shared = theirs.default_hparams("NDCL", known_as)
            own = {name: hparam.default_for(dataset) for name, hparam in NDCL.HPARAMS.items()}
            assert registry.default_hparams("NDCL", dataset) == {**shared, **own}, dataset
            for seed in range(20):
                drawn = registry.random_hparams("MLDG", dataset, seed)
                assert drawn == theirs.random_hparams("MLDG", known_as, seed)
                assert json.loads(json.dumps(drawn)) == drawn
                drawn = registry.random_hparams("NDCL", dataset, seed)
                own = {n: h.random_for(dataset, n, seed) for n, h in NDCL.HPARAMS.items()}
                assert drawn == {**theirs.random_hparams("NDCL", known_as, seed), **own}
        """,
    )
    assert outcome == (0, "", "")


@pytest.fixture(scope="module")
def our_sweep(python, tmp_path_factory):
    """A sweep by our script, on the fork."""
    folder = tmp_path_factory.mktemp("ours") / "sweep"
    flags = (
        "--datasets Tiny28 --algorithms Mine NDCL --n_trials 1 --n_hparams 1 "
        "--steps 2 --command_launcher local --jobs 2 --skip_confirmation"
    )
    outcome = python.run(
        "-m", "ndcl_domainbed", "sweep", "launch", *flags.split(),
        "--data_dir", folder, "--output_dir", folder,
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert "12 jobs: 12 done, 0 running, 0 failed, 0 waiting." in outcome.out
    return folder


@pytest.mark.domainbed
def test_a_users_algorithm_and_data_set_train_with_our_scripts(our_sweep, fork):
    head = git(fork, "rev-parse", "--short", "HEAD")
    lines = [line for path in our_sweep.glob("*/results.jsonl") for line in path.open()]
    records = [json.loads(line) for line in lines]
    assert len(records) == 24
    assert {record["args"]["algorithm"] for record in records} == {"Mine", "NDCL"}
    assert {record["args"]["dataset"] for record in records} == {"Tiny28"}
    assert {record["backend"] for record in records} == {f"domainbed@{head}"}
    assert not any("backbone" in record["hparams"] for record in records)


@pytest.mark.domainbed
def test_our_sweep_gives_the_same_tables_with_both_collectors(our_sweep, python):
    outcome = python.run("-m", "domainbed.scripts.collect_results", "--input_dir", our_sweep)
    assert outcome.status == 0, outcome.err
    theirs = table_lines(outcome.out, single_trial=True)
    assert [line for line in theirs if "Dataset: Tiny28" in line]
    assert not any(" X " in line for line in theirs)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        collect_results.main(["--input_dir", str(our_sweep)])
    assert table_lines(printed.getvalue(), single_trial=True) == theirs


@pytest.mark.domainbed
def test_an_imbalanced_run_of_a_users_data_set(python, tmp_path):
    outcome = python.run(
        "-m", "ndcl_domainbed", "train", "--dataset", "Tiny28", "--algorithm", "LDAM",
        "--imbalance", "Balanced", "--steps", "1", "--output_dir", tmp_path,
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    record = json.loads((tmp_path / "results.jsonl").read_text())
    assert {"env1_val_acc", "env2_val_acc", "env0_in_1median"} <= set(record)
    counts = json.loads((tmp_path / "split.json").read_text())["train_counts"]
    assert counts == {"two": [6, 6, 6], "three": [6, 6, 6]}


@pytest.mark.domainbed
def test_a_data_set_of_the_checkout_that_is_not_there(python, tmp_path):
    outcome = python.run(
        "-m", "ndcl_domainbed", "train", "--dataset", "PACS", "--data_dir", tmp_path,
        "--output_dir", tmp_path / "out",
    )  # fmt: skip
    assert outcome.status == 2
    assert outcome.err == (
        f"error: PACS cannot be read (No such file or directory: {tmp_path}/PACS/). "
        "Name the directory that holds it with --data_dir.\n"
    )
