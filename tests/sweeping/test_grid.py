import dataclasses
import hashlib

import pytest

from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping.checking import check_data, check_grids
from ndcl_domainbed.sweeping.grid import Grid, expand
from ndcl_domainbed.sweeping.jobs import folder_name
from ndcl_domainbed.testbed.datasets.image_files import ImageFileDataset
from tests.image_folders import write_images

GRID = Grid(
    datasets=["PACS", "VLCS"], algorithms=["ERM", "IRM"], data_dir="/data", n_hparams=2, n_trials=2,
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
                "n_hparams": 3, "n_trials": 1, "data_dir": "my data", "single_test_envs": True,
                "run_args": {"steps": 5, "hparams": '{"lr": 0.001}', "holdout_fraction": 0.0},
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


def test_trials_may_start_later():
    early, all_trials, late = (
        {job.folder.name for job in expand([dataclasses.replace(GRID, **seeds)], "out")}
        for seeds in ({"n_trials": 1}, {"n_trials": 3}, {"n_trials_from": 1, "n_trials": 3})
    )
    assert early | late == all_trials
    assert not early & late


def test_a_job_by_hand():
    grid = dataclasses.replace(
        GRID, datasets=["PACS"], algorithms=["ERM"], n_hparams=1, n_trials=1, imbalance=["Duality"],
        single_test_envs=True, run_args={"checkpoint_freq": 10, "skip_model_save": True},
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
    write_images(tmp_path, ["a", "b"], ["one", "two"], 1)
    grid = dataclasses.replace(GRID, datasets=[str(tmp_path)], algorithms=["ERM"])
    assert {tuple(job.train_args["test_envs"]) for job in expand([grid], "out")} == {(0,), (1,)}


def chosen_envs(**changes):
    jobs = expand([dataclasses.replace(GRID, datasets=["PACS"], **changes)], "out")
    return list(dict.fromkeys(tuple(job.train_args["test_envs"]) for job in jobs))


@pytest.mark.parametrize("words", [[0, 3], ["S", "A"], ["sketch", "art_painting"], ["Sketch", 0]])
def test_domains_are_chosen_by_index_or_name(words):
    assert chosen_envs(test_envs=words) == [(0,), (3,), (0, 3)]
    assert chosen_envs(test_envs=words, single_test_envs=True) == [(0,), (3,)]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (4, r"PACS has no domain 4; its domains are 0 \(A\), 1 \(C\), 2 \(P\), 3 \(S\)"),
        (-1, "PACS has no domain -1"),
        ("phot", "unknown domain of PACS 'phot'; did you mean 'photo'"),
    ],
)
def test_a_domain_that_does_not_exist_is_an_error(word, message):
    with pytest.raises(InputError, match=message):
        chosen_envs(test_envs=[word])


def test_titles_name_the_test_domains():
    grid = dataclasses.replace(GRID, datasets=["PACS"], algorithms=["ERM"], test_envs=["photo", 0])
    titles = [job.title() for job in expand([grid], "out")]
    assert titles[0] == "ERM on PACS, test A, hparams 0 trial 0"
    assert titles[-1] == "ERM on PACS, test A,P, hparams 1 trial 1"


def test_a_path_is_one_dataset_however_it_is_spelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "faces", ["a", "b"], ["one", "two"], 1)
    grid = dataclasses.replace(GRID, datasets=["faces"], imbalance=["a/mild.json", "b/mild.json"])
    jobs = expand([grid], "out")
    spelled = dataclasses.replace(
        GRID, datasets=["./faces", "faces/", "faces"],
        imbalance=["./a/mild.json", "b/../b/mild.json", "a//mild.json"],
    )  # fmt: skip
    assert expand([spelled], "out") == jobs
    assert {job.title().split()[2] for job in jobs} == {
        "faces/a/mild.json,", "faces/b/mild.json,",
    }  # fmt: skip


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
    check_data(expand([grid], "out"))
    assert readings == [("one", str(tmp_path)), ("two", str(tmp_path))]


def test_a_setting_that_makes_no_split_is_found_after_one_that_does(tmp_path):
    write_images(tmp_path / "one", ["a", "b", "c"], ["x", "y", "z"], 7)
    grid = dataclasses.replace(GRID, datasets=["one"], data_dir=str(tmp_path))
    check_data(expand([dataclasses.replace(grid, imbalance=["Duality"])], "out"))
    with pytest.raises(InputError, match="setting GINIDG is a fixed table and has none"):
        check_data(expand([dataclasses.replace(grid, imbalance=["Duality", "GINIDG"])], "out"))


@pytest.mark.parametrize("settings", [["TotalHeavyTail", "none"], ["none", "TotalHeavyTail"]])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"validation": 2}, "--validation"),
        ({"task": "domain_adaptation", "uda_holdout_fraction": 0.2}, "--uda_holdout_fraction"),
    ],
)
def test_flags_must_suit_every_setting(settings, flags, message):
    grid = dataclasses.replace(GRID, datasets=["Debug28"], imbalance=settings, run_args=flags)
    with pytest.raises(InputError, match=message):
        check_grids([grid], {})


def test_a_setting_is_tried_with_the_validation_images_of_every_block(tmp_path):
    write_images(tmp_path / "one", ["a", "b", "c"], ["x", "y", "z"], 7)
    grid = dataclasses.replace(
        GRID, datasets=["one"], data_dir=str(tmp_path), imbalance=["Balanced"]
    )
    many = dataclasses.replace(grid, run_args={"validation": 100})
    with pytest.raises(InputError, match="7 images"):
        check_data(expand([many, grid], "out"))
