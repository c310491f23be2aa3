"""The file of the big comparison: made from folders of runs, selected from as the package does."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import comparison
import numpy as np
import pandas as pd
import pytest
import studies

from ndcl_domainbed.results.reading import read_sweep
from ndcl_domainbed.results.selection import select
from tests.results.builder import record, write_run

DOCS = Path(__file__).parents[2] / "docs"
KEYS = ["algorithm", "test_env", "trial_seed", "hparams_seed", "step"]


def write_sweep(root):
    """Write runs of ERM and CORAL on four targets, three trials of three draws; return their keys.

    Accuracies have one digit, so that they tie.
    """
    rng, keys = np.random.default_rng(0), {}
    runs = itertools.product(("ERM", "CORAL"), range(4), range(3), range(3))
    for number, (name, target, trial, draw) in enumerate(runs):
        sources = [env for env in range(4) if env != target]
        records = []
        for step in (0, 50, 100):
            about = {"trial_seed": trial, "hparams_seed": draw, "imbalance": "Cross"}
            classes = {f"env{env}_val": rng.random(2).round(1).tolist() for env in sources}
            shares = {
                f"{env}_{split}": round(float(rng.random()), 1)
                for env in range(4)
                for split in ("in", "out")
            }
            shares |= {f"{env}_val": sum(classes[f"env{env}_val"]) / 2 for env in sources}
            made = record(step, shares, test_envs=[target], algorithm=name, class_acc={}, **about)
            records.append(made | {"val_class_acc": classes})
        write_run(root / f"{number:02d}", records)
        keys["PACS", "Cross", name, target, trial, draw] = {}
    return keys


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A sweep that is known to the script, which writes into a folder of the test."""
    keys = write_sweep(tmp_path / "sweep")
    monkeypatch.setattr(comparison, "jobs", lambda: keys)
    monkeypatch.setattr(comparison, "FILE", tmp_path / "comparison.parquet")
    monkeypatch.setattr(studies, "MACHINES", tmp_path / "machine.json")
    return tmp_path / "sweep"


def folder_of(sweep, algorithm, env, trial, draw):
    runs = read_sweep([sweep]).runs.set_index(
        ["algorithm", "test_env", "trial_seed", "hparams_seed"]
    )
    return Path(runs.loc[(algorithm, env, trial, draw), "run"])


def test_the_file_selects_what_the_package_selects(here):
    comparison.write_file([here])
    rows, records = comparison.read_file(), read_sweep([here]).frame()
    compared = 0
    for criterion in comparison.CRITERIA:
        wanted = select(records, criterion)
        found = comparison.select(rows, criterion)
        assert found[KEYS].values.tolist() == wanted[KEYS].sort_values(KEYS).values.tolist()
        merged = found.merge(wanted.astype({"algorithm": str}), on=KEYS, suffixes=("", "_wanted"))
        assert (merged["overall"] == merged["overall_wanted"]).all()
        compared += len(wanted)
    assert compared == 4 * 2 * 4 * 3  # criteria, algorithms, targets, trials


def test_only_complete_draws_are_in_the_file(here):
    (folder_of(here, "ERM", 1, 2, 1) / "done").unlink()
    assert comparison.write_file([here]).startswith("71 finished runs; in the file: **48 of ")
    assert set(comparison.read_file()["hparams_seed"]) == {0, 2}
    (folder_of(here, "CORAL", 0, 0, 0) / "done").unlink()  # without its defaults a row is left out
    described = comparison.write_file([here])
    assert set(comparison.read_file()["algorithm"]) == {"ERM"}
    assert described.endswith("Rows without all their defaults so far: CORAL.")
    (folder_of(here, "ERM", 0, 0, 0) / "done").unlink()
    with pytest.raises(SystemExit, match="No row has its defaults"):
        comparison.write_file([here])


def test_runs_of_several_folders_count_once(here, tmp_path):
    comparison.write_file([here])
    once = comparison.read_file()
    (tmp_path / "again").symlink_to(here)
    comparison.write_file([here, tmp_path / "again"])
    pd.testing.assert_frame_equal(comparison.read_file(), once)


def test_the_committed_file_has_runs_of_the_sweep_in_complete_draws():
    rows = comparison.read_file()
    assert comparison.FILE.stat().st_size < 3 * 2**20
    keys = rows[studies.DRAW].drop_duplicates()
    assert set(keys.itertuples(index=False, name=None)) <= set(comparison.jobs())
    assert not rows.duplicated([*studies.DRAW, "step"]).any()
    measures = rows[list(studies.MEASURES)]
    assert ((measures >= 0) & (measures <= 1)).to_numpy().all()
    assert {"NDCL", "NDCL (class_prior=logit)"} <= set(keys["algorithm"])
    for dataset, _, board in studies.iterate_boards(keys):
        targets = 4 if dataset.startswith("PACS ") else 3
        assert "[frozen tf_efficientnet_lite0, 128 px]" in dataset
        assert set(board["algorithm"]) == set(keys["algorithm"])
        whole = board["algorithm"].nunique() * targets * 3
        assert set(board.groupby("hparams_seed").size()) == {whole}
        assert 0 in set(board["hparams_seed"])


def test_a_random_run_of_the_comparison_comes_out_again():
    place = os.environ.get("NDCL_PHOTOGRAPHS")
    if not place:
        pytest.skip("NDCL_PHOTOGRAPHS names no folder with PACS and Office31 in it")
    outcome = subprocess.run(
        [sys.executable, DOCS / "rerun_results.py", "--study", "comparison", "--data_dir", place,
         "--runs", "1"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    if "another machine" in outcome.stdout:
        pytest.skip("the runs of the comparison were made on another kind of machine")
    assert outcome.stdout.endswith("1 of 1 runs came out the same.\n")
