"""What the variants of an ablation reach, on sweeps with planted accuracies."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from imbalance_splits.errors import InputError
from ndcl_domainbed.diagnostics import Request, get_diagnostic
from ndcl_domainbed.diagnostics.checks.contrast import estimate, read_variants
from tests.command_line import call
from tests.results.builder import record, write_run

SPLIT = {
    "environments": ["A", "B", "C"], "classes": ["cat", "dog"],
    "train_counts": {"A": [9, 1], "B": [30, 2]}, "thresholds": None, "shots": ["many", "few"],
}  # fmt: skip


def write_variant(
    root, name, overall, *, target=0, trial=0, done=True, imbalance="Duality", **hparams
):
    """Write a run whose second record is the best on validation, and has ``overall`` there."""
    records = []
    for step, (validation, reached) in enumerate([(0.1, 0.9), (0.8, overall), (0.2, 0.95)]):
        shares = {f"{env}_{split}": reached for env in range(3) for split in ("in", "out")}
        shares |= {f"{env}_val": validation for env in range(3)}
        one = record(
            step, shares, test_envs=[target], trial_seed=trial, algorithm=name,
            imbalance=imbalance, class_acc={f"env{target}_in": [reached, reached / 2]},
        )  # fmt: skip
        if hparams:
            one["args"]["hparams"] = json.dumps(hparams)
        one |= {f"env{target}_in_0many": reached, f"env{target}_in_2few": reached / 2}
        records.append(one)
    folder = root / f"{name}{target}{trial}{len(list(root.iterdir()))}"
    return write_run(folder, records, done=done, split=SPLIT)


def write_planted(root):
    """A sweep of two targets and two trials in which InfoNCE has 10 points less than NDCL."""
    for target in (0, 1):
        for trial in (0, 1):
            base = 0.6 + 0.1 * target + 0.02 * trial
            at = {"target": target, "trial": trial}
            write_variant(root, "NDCL", base, **at)
            write_variant(root, "NDCL", base - 0.1, **at, contrast="infonce")
            write_variant(root, "NDCL", base - 0.03 * trial + 0.01, **at, alpha=0.0)
            write_variant(root, "ERM", base - 0.2, **at)
    write_variant(root, "NDCL", 0.5, kernel="linear")
    write_variant(root, "NDCL", 0.5, target=1, done=False, kernel="linear")
    return root


def test_chance_is_that_of_welchs_test():
    x, y = [3.1, 2.2, 4.0, 3.3], [1.5, 2.9]
    index = [(0, trial) for trial in range(4)] + [(1, trial) for trial in range(2)]
    levels = pd.MultiIndex.from_tuples(index, names=["test_env", "trial_seed"])
    gaps = [np.nan] * 2
    columns = {"both": [*x, *(-value for value in y)], "one target": [*x, *gaps],
               "one trial": [1.0, *[np.nan] * 5], "no trial": [np.nan] * 6}  # fmt: skip
    found = estimate(pd.DataFrame(columns, levels))
    assert found["p"]["both"] == pytest.approx(stats.ttest_ind(x, y, equal_var=False).pvalue)
    assert found["p"]["one target"] == pytest.approx(stats.ttest_1samp(x, 0).pvalue)
    assert found["p"][["one trial", "no trial"]].isna().all()
    assert found["runs"].tolist() == [6, 4, 1, 0]


def test_the_table_has_levels_and_differences(tmp_path):
    found = get_diagnostic("contrast").diagnose(Request(write_planted(tmp_path)))
    variants = found.table[found.table["part"] == "variant"].set_index("variant")
    assert variants.index.tolist() == [
        "NDCL", "NDCL alpha=0", "NDCL contrast=infonce", "NDCL kernel=linear", "ERM",
    ]  # fmt: skip
    ndcl = variants.loc["NDCL"]
    assert (ndcl["overall"], ndcl["runs"]) == (pytest.approx(66.0), 4)
    # Each target: deviation sqrt(2) over two trials, so 1 for their mean; sqrt(1 + 1) / 2.
    assert float(ndcl["overall_error"]) == pytest.approx(np.sqrt(2) / 2)
    infonce, alpha = variants.loc["NDCL contrast=infonce"], variants.loc["NDCL alpha=0"]
    assert float(infonce["overall_minus_ndcl"]) == pytest.approx(-10.0)
    assert float(infonce["overall_minus_ndcl_error"]) == pytest.approx(0.0, abs=1e-9)
    assert float(infonce["overall_minus_ndcl_p"]) < 0.05
    assert float(infonce["few_minus_ndcl"]) == pytest.approx(-5.0)
    assert float(alpha["overall_minus_ndcl"]) == pytest.approx(-0.5)
    assert float(alpha["overall_minus_ndcl_p"]) > 0.05
    assert float(variants.loc["ERM", "overall_minus_ndcl"]) == pytest.approx(-20.0)
    assert np.isnan(variants.loc["NDCL kernel=linear", "overall_minus_ndcl_error"])  # one trial
    assert "Runs that are not done, by variant: NDCL kernel=linear: 3." in found.caption
    classes = found.table[found.table["part"] == "class"].set_index(["variant", "class"])
    assert float(classes.loc[("NDCL", "dog"), "accuracy"]) == pytest.approx(33.0)
    assert float(classes.loc[("NDCL", "dog"), "training_images"]) == 3


def test_jobs_that_have_not_begun_are_named(tmp_path):
    write_variant(tmp_path, "NDCL", 0.5)
    args = {
        "dataset": "PACS", "algorithm": "NDCL", "test_envs": [0], "trial_seed": 0,
        "hparams_seed": 0, "imbalance": "Duality", "hparams": '{"contrast": "supcon"}',
    }  # fmt: skip
    (tmp_path / "jobs.jsonl").write_text(json.dumps({"steps": 3, "args": args}) + "\n")
    assert read_variants([tmp_path])[1] == {"NDCL contrast=supcon": 1}


def test_a_change_to_the_default_is_no_change(tmp_path):
    write_variant(tmp_path, "NDCL", 0.5, kernel="exp", alpha=0.1)
    assert read_variants([tmp_path])[0]["variant"].tolist() == ["NDCL"]


def test_without_ndcl_there_are_accuracies_and_no_differences(tmp_path):
    write_variant(tmp_path, "NDCL", 0.5, contrast="none")
    found = get_diagnostic("contrast").diagnose(Request(tmp_path))
    row = found.table.iloc[0]
    assert float(row["overall"]) == pytest.approx(50.0)
    assert np.isnan(row["overall_minus_ndcl"])
    assert found.figure.axes[0].get_title() == "accuracy on the target"


def test_what_cannot_be_compared_is_refused(tmp_path):
    with pytest.raises(InputError, match="name the folder of a sweep"):
        read_variants([tmp_path])
    (tmp_path / "plain").mkdir()
    run = write_variant(tmp_path / "plain", "NDCL", 0.5, imbalance=None)
    text = (run / "results.jsonl").read_text().replace("_val_acc", "_else_acc")
    (run / "results.jsonl").write_text(text)
    refused = call("diagnose", "contrast", "--run", tmp_path, "--output", tmp_path / "out")
    assert (refused.status, "balanced validation split" in refused.err) == (2, True)
    (tmp_path / "other").mkdir()
    write_variant(tmp_path / "other", "NDCL", 0.5)
    with pytest.raises(InputError, match="one dataset and setting"):
        read_variants([tmp_path])
