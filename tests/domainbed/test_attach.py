"""DomainBed's own scripts, in a user's fork of it, with our things registered."""

import json
import os
import shutil

import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.attach import register
from tests.domainbed.warm_python import ATTACH, TRAIN, cold
from tests.image_folders import write_images

needs_checkout = pytest.mark.domainbed


def test_help_needs_no_checkout(tmp_path):
    outcome = cold([*ATTACH, "--help"], tmp_path)
    assert outcome.returncode == 0
    assert outcome.stdout.startswith("usage: python -m ndcl_domainbed.attach SCRIPT")


def test_without_a_checkout_it_says_what_is_missing(tmp_path):
    outcome = cold(TRAIN, tmp_path)
    assert outcome.returncode == 2
    assert outcome.stderr == (
        "error: no DomainBed checkout is on the module path: work in the folder that holds "
        "domainbed/, or name that folder in DOMAINBED_HOME.\n"
    )


def test_the_embedded_backend_cannot_be_asked_for(tmp_path):
    outcome = cold(TRAIN, tmp_path, NDCL_BACKEND="embedded")
    assert outcome.returncode == 2
    assert "NDCL_BACKEND=embedded excludes attaching" in outcome.stderr


def test_registering_after_the_embedded_testbed_is_in_use_is_an_error(monkeypatch):
    from ndcl_domainbed import backend

    assert backend.NAME == "embedded"
    monkeypatch.delenv("NDCL_BACKEND", raising=False)
    with pytest.raises(InputError, match="comes too late"):
        register()
    assert "NDCL_BACKEND" not in os.environ


@needs_checkout
def test_names_are_registered_once(python):
    outcome = python.run(
        "-c",
        """if True:
        from domainbed import algorithms, datasets
        before = list(datasets.DATASETS), list(algorithms.ALGORITHMS)
        from ndcl_domainbed.attach import register
        register()
        after = list(datasets.DATASETS), list(algorithms.ALGORITHMS)
        register()
        assert after == (datasets.DATASETS, algorithms.ALGORITHMS)
        for now, then in zip(after, before):
            assert now[:len(then)] == then and len(now) == len(set(now))
        settings = ("Balanced", "Cross", "Duality", "Exponential", "TotalHeavyTail")
        for name in (*before[0], "DigitsDG"):
            for setting in settings:
                cls = datasets.get_dataset_class(f"{name}_{setting}")
                base = datasets.get_dataset_class(name)
                assert issubclass(cls, base) and f"{name}_{setting}" in datasets.DATASETS
                assert datasets.num_environments(f"{name}_{setting}") == len(base.ENVIRONMENTS)
                assert cls.CHECKPOINT_FREQ == base.CHECKPOINT_FREQ
        ours = set(after[0]) - set(before[0])
        own = {"DigitsDG", "Office31", "OfficeCaltech10"}
        assert len(ours) == 5 * (len(before[0]) + len(own)) + len(own) + 2
        assert own | {"PACS_GINIDG", "VLCS_GINIDG"} <= ours
        from ndcl_domainbed.algorithms import classes
        assert after[1][len(before[1]):] == list(classes())
        for name, cls in classes().items():
            assert algorithms.get_algorithm_class(name) is cls
            assert issubclass(cls, algorithms.Algorithm)
        """,
    )
    assert outcome == (0, "", "")


@needs_checkout
def test_hyper_parameters_are_those_of_the_dataset_without_the_setting(python, tmp_path):
    write_images(tmp_path / "small", ["a", "b", "c"], ["x", "y"], 9)  # of 28 x 28 pixels
    outcome = python.run(
        "-c",
        """if True:
        import json
        from domainbed import hparams_registry
        theirs = hparams_registry.default_hparams, hparams_registry.random_hparams
        from ndcl_domainbed.attach import register
        register()
        from ndcl_domainbed.algorithms.ndcl import NDCL
        from ndcl_domainbed.hparams import Hparams
        default, random = hparams_registry.default_hparams, hparams_registry.random_hparams
        for dataset in ("PACS", "DomainNet", "RotatedMNIST"):
            for algorithm in ("ERM", "RDM", "MLDG", "Mine"):
                expected = theirs[0](algorithm, dataset)
                assert default(algorithm, dataset) == expected
                assert default(algorithm, f"{dataset}_TotalHeavyTail") == expected
                for seed in range(10):
                    drawn = random(algorithm, f"{dataset}_Duality", seed)
                    assert drawn == theirs[1](algorithm, dataset, seed)
                    assert {type(v) for v in drawn.values()} <= {bool, int, float, str}
            own = {name: hparam.default_for(dataset) for name, hparam in NDCL.HPARAMS.items()}
            values = default("NDCL", f"{dataset}_Cross")
            assert values == {**theirs[0]("NDCL", dataset), **own}
            assert isinstance(values, Hparams) and json.loads(json.dumps(values)) == values
        assert default("NDCL", "DigitsDG_Cross")["batch_size"] == 64
        from ndcl_domainbed.attach.command_line import _check_dataset
        _check_dataset("small_Cross", ".")
        for name in ("small", "small_Cross"):
            assert default("ERM", name)["batch_size"] == 64
        """,
        cwd=tmp_path,
    )
    assert outcome == (0, "", "")


@needs_checkout
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["domainbed.scripts.tran"], "unknown script 'domainbed.scripts.tran'; did you mean 'dom"),
        (["domainbed.scripts.train", "--algorithm", "NDLC"], "unknown algorithm 'NDLC'; did you m"),
        (["domainbed.scripts.train", "--dataset", "PACSS"], "unknown dataset 'PACSS'; did you mea"),
        (
            ["domainbed.scripts.sweep", "launch", "--datasets", "PACS", "PACCS_Cross"],
            "unknown dataset 'PACCS'; did you mean 'PACS'?",
        ),
        (
            ["domainbed.scripts.train", "--dataset=PACS_Dualty"],
            "unknown setting of PACS 'Dualty'; did you mean 'Duality'? Choose from: Balanced,",
        ),
        (["domainbed.scripts.train", "--dataset", "some"], "/some: no folders in it"),
        (["domainbed.scripts.train", "--dataset", "list.csv"], "list.csv has a split of its own"),
        (["domainbed.scripts.train", "--dataset", "MNIST_Cross"], "MNIST: DomainBed uses this"),
        (
            ["domainbed.scripts.train_autolr", "--dataset", "PACS_Cross"],
            "train_autolr ends by training on whole domains",
        ),
        (["domainbed.scripts.collect_results", "--input_dir", "d"], "--input_dir d: there is no s"),
    ],
)
def test_wrong_names_are_plain_errors_before_the_script_starts(python, tmp_path, flags, message):
    for name in ("some", "MNIST"):
        (tmp_path / name).mkdir()  # not a dataset
    write_images(tmp_path / "images", ["a", "b", "c"], ["x", "y"], 3)
    rows = [
        f"{path.parts[-3]},{path.parts[-2]},{path},{part}"
        for path in sorted((tmp_path / "images").glob("*/*/*.png"))
        for part in [{"000": "train", "001": "val", "002": "test"}[path.stem]]
    ]
    (tmp_path / "list.csv").write_text("\n".join(["domain,class,file,split", *rows]))
    before = sorted(tmp_path.iterdir())
    outcome = python.run(*ATTACH, *flags, cwd=tmp_path)
    assert outcome.status == 2
    assert outcome.err.startswith("error: ")
    assert message in outcome.err.splitlines()[0]
    assert len(outcome.err.splitlines()) <= 2
    assert outcome.out == ""
    assert sorted(tmp_path.iterdir()) == before


@needs_checkout
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--dataset PACS_Cross", "PACS_Cross needs --data_dir."),
        ("--dataset PACS_Cross --data_dir d", "PACS_Cross cannot be read (No such file or direc"),
        (
            "--dataset Tiny28_Cross --data_dir . --test_envs 3",
            "Tiny28_Cross has no domain 3; its domains are 0 (one)",
        ),
        ("--dataset ab_Balanced --data_dir .", "Balanced of ab: domain a, class x has 3 images; 5"),
    ],
)
def test_data_that_cannot_be_used_is_a_plain_error_in_the_runs_log_too(
    python, tmp_path, flags, message
):
    write_images(tmp_path / "ab", ["a", "b", "c"], ["x", "y"], per_class=3)
    outcome = python.run(*TRAIN, *flags.split(), "--output_dir", "out", cwd=tmp_path)
    assert outcome.status == 2
    assert "Traceback" not in outcome.out + outcome.err
    said = (tmp_path / "out" / "err.txt").read_text()
    assert said in outcome.out  # DomainBed copies both streams to standard output
    assert said.startswith(f"error: {message}")
    assert not (tmp_path / "out" / "results.jsonl").exists()


@needs_checkout
def test_a_run_without_weights_and_network_fails_within_seconds(python, tmp_path):
    write_images(tmp_path / "abc", ["a", "b", "c"], ["x", "y"], per_class=9, size=64)
    outcome = python.run(
        "-c",
        """if True:
        import os, socket, sys
        os.environ["TORCH_HOME"] = os.environ["HF_HOME"] = os.path.abspath("nothing")
        swallowing = socket.create_server(("127.0.0.1", 0))
        for variable in ("http_proxy", "https_proxy"):
            os.environ[variable] = "http://127.0.0.1:%d" % swallowing.getsockname()[1]
        from ndcl_domainbed.attach.command_line import main
        from ndcl_domainbed.scripts.cli import run
        from ndcl_domainbed.testbed.networks import weight_downloads
        weight_downloads.SECONDS = 0.5
        run(main, ["domainbed.scripts.train", "--dataset", "abc", "--data_dir", ".",
                   "--algorithm", "ERM", "--output_dir", "out"])
        """,
        cwd=tmp_path,
    )
    assert outcome.status == 2
    line, advice = (tmp_path / "out" / "err.txt").read_text().splitlines()[-2:]
    assert line.startswith("error: the pretrained weights of resnet50 and resnet50_augmix could no")
    assert "`ndcl-domainbed download --weights resnet50 resnet50_augmix`" in advice


@needs_checkout
def test_an_algorithm_says_what_a_script_of_ones_own_does_not_give_it(python):
    outcome = python.run(
        "-c",
        """if True:
        from ndcl_domainbed.attach import register
        from ndcl_domainbed.scripts.cli import run
        register()
        from domainbed import algorithms, hparams_registry
        hparams = hparams_registry.default_hparams("GINIDG", "Tiny28")
        run(lambda argv: algorithms.GINIDG((3, 28, 28), 3, 2, hparams))
        """,
    )
    assert outcome.status == 2
    assert outcome.err.startswith("error: GINIDG needs the number of updates of the run")


@pytest.fixture(scope="module")
def calling_fork(fork, tmp_path_factory):
    """A fork that registers with a line of its own."""
    home = tmp_path_factory.mktemp("calling")
    shutil.copytree(fork / "domainbed", home / "domainbed")
    line = "\nimport ndcl_domainbed.attach\n\nndcl_domainbed.attach.register()\n"
    with (home / "domainbed" / "__init__.py").open("a") as file:
        file.write(line)
    return home


@needs_checkout
def test_one_line_in_a_fork_registers(calling_fork, tmp_path):
    flags = "--dataset Tiny28_Balanced --algorithm NDCL --steps 1 --data_dir . --output_dir"
    outcome = cold(["-m", "domainbed.scripts.train", *flags.split(), tmp_path], calling_fork)
    assert outcome.returncode == 0, outcome.stderr
    record = json.loads((tmp_path / "results.jsonl").read_text())
    assert record["args"]["dataset"] == "Tiny28_Balanced"
    assert "loss_con" in record


@needs_checkout
def test_that_line_does_not_disturb_our_own_scripts(calling_fork, tmp_path):
    code = """if True:
        from ndcl_domainbed import backend, registry
        assert backend.NAME == "domainbed"
        assert registry.default_hparams("NDCL", "PACS")["alpha"] == 0.1
        from ndcl_domainbed.attach import register
        register()
        from domainbed import algorithms
        assert algorithms.NDCL is registry.get_algorithm_class("NDCL")
        """
    home = {"NDCL_BACKEND": "domainbed", "DOMAINBED_HOME": str(calling_fork)}
    outcome = cold(["-c", code], tmp_path, **home)
    assert outcome.returncode == 0, outcome.stderr
