from __future__ import annotations

import dataclasses
import hashlib

import pytest

from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping.grid import Grid, check_splits, expand
from ndcl_domainbed.sweeping.jobs import folder_name
from ndcl_domainbed.testbed.datasets.image_files import ImageFileDataset
from tests.image_folders import write_images

GRID = Grid(
    datasets=["PACS", "VLCS"], algorithms=["ERM", "IRM"], data_dir="/data",
    task="domain_generalization", n_hparams_from=0, n_hparams=2, n_trials=2, holdout_fraction=0.2,
)  # fmt: skip


def digest(jobs):
    names = sorted(job.folder.name for job in jobs)
    return hashlib.md5("".join(names).encode()).hexdigest(), names[0]


@pytest.mark.parametrize(
    ("changes", "count", "expected"),
    [
        ({}, 160, ("2dcc918937d84c8b5c73a9fe049dd363", "017c7da5a8dc95e793ddd92bddfcf9db")),
        (
            {
                "datasets": ["OfficeHome"], "algorithms": ["ERM"], "n_hparams_from": 1,
                "n_hparams": 3, "n_trials": 1, "data_dir": "my data", "steps": 5,
                "hparams": '{"lr": 0.001}', "holdout_fraction": 0.0, "single_test_envs": True,
            },
            8,
            ("24bdca35518b6060e4e7a94377d84543", "1e916a6ca06a53d663fd002de563ee29"),
        ),
    ],
)  # fmt: skip
def test_the_folders_are_those_of_domainbed(changes, count, expected):
    """Golden values of DomainBed b93c22a: its sweep launch with the same flags, dummy launcher."""
    jobs = expand([dataclasses.replace(GRID, **changes)], "out")
    assert len(jobs) == count
    assert digest(jobs) == expected


def test_a_job_by_hand():
    grid = dataclasses.replace(
        GRID, datasets=["PACS"], algorithms=["ERM"], n_hparams=1, n_trials=1, imbalance=["Duality"],
        checkpoint_freq=10, skip_model_save=True, single_test_envs=True,
    )  # fmt: skip
    job = expand([grid], "out")[2]
    expected = {
        "dataset": "PACS", "algorithm": "ERM", "test_envs": [2], "holdout_fraction": 0.2,
        "hparams_seed": 0, "data_dir": "/data", "task": "domain_generalization", "trial_seed": 0,
        "seed": seed_hash("PACS", "ERM", [2], 0, 0), "imbalance": "Duality", "checkpoint_freq": 10,
        "skip_model_save": True,
    }  # fmt: skip
    assert job.train_args == expected
    assert job.folder.name == folder_name(expected)
    assert job.n_steps == 5001


def test_settings_multiply_and_jobs_of_two_grids_are_not_repeated():
    first = dataclasses.replace(GRID, imbalance=["Duality", "Cross"], single_test_envs=True)
    second = dataclasses.replace(first, imbalance=["Cross", "GINIDG"])
    one, both = expand([first], "out"), expand([first, second], "out")
    assert len(one) == 2 * 2 * 2 * 4 * 2 * 2
    assert len(both) == len(set(both)) == len(one) * 3 // 2


def test_two_domains_have_no_pairs(tmp_path):
    from PIL import Image

    for place in ("a/one", "a/two", "b/one", "b/two"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        Image.new("RGB", (28, 28)).save(folder / "image.png")
    grid = dataclasses.replace(GRID, datasets=[str(tmp_path)], algorithms=["ERM"])
    assert {tuple(job.train_args["test_envs"]) for job in expand([grid], "out")} == {(0,), (1,)}


def test_none_is_the_ordinary_split_beside_settings():
    plain = [job.train_args for job in expand([GRID], "out")]
    both = dataclasses.replace(GRID, imbalance=["none", "Cross"])
    jobs = [job.train_args for job in expand([both], "out")]
    assert [args for args in jobs if "imbalance" not in args] == plain
    assert len(jobs) == 2 * len(plain)


def test_a_launch_reads_each_data_set_once_for_all_its_settings(tmp_path, monkeypatch):
    readings = []
    read = ImageFileDataset.__init__

    def counted(self, root, test_envs, hparams):
        readings.append((type(self).__name__, root))
        read(self, root, test_envs, hparams)

    monkeypatch.setattr(ImageFileDataset, "__init__", counted)
    for name in ("one", "two"):
        write_images(tmp_path / name, ["a", "b", "c"], ["x", "y", "z"], 7)
    grid = dataclasses.replace(
        GRID, datasets=["one", "two"], data_dir=str(tmp_path), imbalance=["Duality", "Cross"]
    )
    check_splits(expand([grid], "out"))
    assert readings == [("one", str(tmp_path)), ("two", str(tmp_path))]


def test_a_setting_that_makes_no_split_is_found_after_one_that_does(tmp_path):
    write_images(tmp_path / "one", ["a", "b", "c"], ["x", "y", "z"], 7)
    grid = dataclasses.replace(GRID, datasets=["one"], data_dir=str(tmp_path))
    check_splits(expand([dataclasses.replace(grid, imbalance=["Duality"])], "out"))
    with pytest.raises(InputError, match="setting GINIDG is a fixed table and has none"):
        check_splits(expand([dataclasses.replace(grid, imbalance=["Duality", "GINIDG"])], "out"))
