"""Our scripts on a DomainBed checkout (a user's fork of it), and without one."""

import contextlib
import io
import json

import pytest

from ndcl_domainbed.scripts import collect_results
from tests.domainbed.warm_python import cold
from tests.git_command import git
from tests.results.printed import table_lines

LAUNCH = (
    *("-m", "ndcl_domainbed", "sweep", "launch", "--command_launcher", "dummy"),
    *("--datasets", "Debug28", "--algorithms", "ERM", "--data_dir", "d", "--output_dir", "out"),
)


def checkout(folder, algorithms):
    (folder / "domainbed").mkdir()
    (folder / "domainbed" / "__init__.py").write_text("")
    (folder / "domainbed" / "algorithms.py").write_text(algorithms)
    return {"NDCL_BACKEND": "domainbed", "DOMAINBED_HOME": str(folder)}


def test_a_backend_that_does_not_exist(tmp_path):
    outcome = cold(LAUNCH, tmp_path, NDCL_BACKEND="domainbet")
    assert outcome.returncode == 2
    assert outcome.stderr == (
        "error: unknown NDCL_BACKEND 'domainbet'; did you mean 'domainbed'? "
        "Choose from: embedded, domainbed\n"
    )


def test_a_home_that_holds_no_checkout(tmp_path):
    nowhere = str(tmp_path / "nowhere")
    outcome = cold(LAUNCH, tmp_path, NDCL_BACKEND="domainbed", DOMAINBED_HOME=nowhere)
    assert outcome.returncode == 2
    assert outcome.stderr == (
        f"error: DOMAINBED_HOME={nowhere} holds no DomainBed checkout "
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
    outcome = cold(LAUNCH, tmp_path, **checkout(tmp_path, algorithms))
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
def test_a_users_algorithm_and_dataset_train_with_our_scripts(our_sweep, fork):
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
def test_an_imbalanced_run_of_a_users_dataset(python, tmp_path):
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
def test_a_dataset_of_the_checkout_that_is_not_there(python, tmp_path):
    outcome = python.run(
        "-m", "ndcl_domainbed", "train", "--dataset", "PACS", "--data_dir", tmp_path,
        "--output_dir", tmp_path / "out",
    )  # fmt: skip
    assert outcome.status == 2
    assert outcome.err == (
        f"error: PACS cannot be read (No such file or directory: {tmp_path}/PACS/).\n"
        "Name the directory that holds it with --data_dir, or run: "
        f"ndcl-domainbed download --dataset PACS --data_dir {tmp_path}\n"
    )
