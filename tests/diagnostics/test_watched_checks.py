"""The checks of what ``train --diagnostics`` recorded, on folders with planted figures."""

import json

import numpy as np
import pandas as pd
import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.diagnostics import Request, get_diagnostic
from ndcl_domainbed.diagnostics.checks.prototypes import is_unstable
from tests.command_line import call
from tests.results.builder import record, write_run

COUNTS = {"A": [400, 300, 60, 40, 20, 8, 4, 2], "B": [200, 150, 30, 20, 10, 4, 2, 1]}
CLASSES = [str(k) for k in range(8)]
SHOTS = ["many"] * 2 + ["medium"] * 3 + ["few"] * 3
STEPS = (0, 10, 20, 30)
FACTORS = ("amplification", "crowding")
FIGURES = (
    "grad_logits",
    "grad_features",
    "confidence",
    *FACTORS,
    "norm",
    "distance",
    "instability",
)


def write_watched(folder, figure_of, *, algorithm="NDCL", shots=SHOTS, tail=""):
    """Write a run with the source domains A and B; C is the target.

    ``figure_of(name, env, k, step)`` gives the figures, None what is not defined.
    """
    split = {
        "environments": ["A", "B", "C"], "classes": CLASSES, "train_counts": COUNTS,
        "thresholds": None, "shots": shots,
    }  # fmt: skip
    about = [record(step, {"2_in": 0.5}, test_envs=[2], algorithm=algorithm) for step in STEPS]
    write_run(folder, about, split=split)
    keys = [(env, k) for env in (0, 1) for k in range(len(CLASSES))]
    samples = [n for row in COUNTS.values() for n in row]
    lines = []
    for step in STEPS:
        pairs = {
            "env": [env for env, _ in keys], "class": [k for _, k in keys], "samples": samples,
            "anchors": samples, "batches": [10] * len(keys),
            **{name: [figure_of(name, env, k, step) for env, k in keys] for name in FIGURES},
        }  # fmt: skip
        line = {"step": step, "updates": 5 if step else 1, "pairs": pairs}
        lines.append(json.dumps(line, sort_keys=True) + "\n")
    (folder / "diagnostics.jsonl").write_text("".join(lines) + tail)
    return folder


def diagnose(name, *folders):
    return get_diagnostic(name).diagnose(Request(folders[0], tuple(folders[1:])))


def constant(name, env, k, step):
    return 1.0


def part(table, name):
    return table[table["part"] == name]


@pytest.mark.parametrize(("factor", "rho"), [(lambda k: k + 1.0, -1), (lambda k: 10.0 - k, 1)])
def test_the_table_has_the_correlation_of_the_planted_factor(factor, rho, tmp_path):
    def figure_of(name, env, k, step):
        return factor(k) if name in FACTORS else 1.0

    table = diagnose("gradients", write_watched(tmp_path / "run", figure_of)).table
    found = part(table, "correlation").set_index("figure")
    assert found.loc["amplification", ["spearman", "low", "high", "n"]].tolist() == [rho] * 3 + [8]
    assert np.isnan(found.loc["grad_logits", "spearman"])  # of a constant


def test_means_are_weighted_by_what_they_are_over(tmp_path):
    def figure_of(name, env, k, step):
        return float(1 + env)  # domain B has twice the gradient of A

    run = write_watched(tmp_path / "run", figure_of, tail='{"step": 40, "torn')
    table = diagnose("gradients", run).table
    classes = part(table, "class").set_index("class")
    for k, (a, b) in enumerate(zip(*COUNTS.values(), strict=True)):
        expected = pytest.approx((a + 2 * b) / (a + b))
        assert classes.loc[str(k), "grad_logits"] == expected
        assert classes.loc[str(k), "amplification"] == expected
        assert classes.loc[str(k), ["samples", "class_images"]].tolist() == [4 * (a + b), a + b]
    for rows in (part(table, "group").query("step == 10"), part(table, "training")):
        few = rows[rows["shots"] == "few"]
        assert float(few["grad_logits"].iloc[0]) == pytest.approx((14 + 2 * 7) / 21)


def test_a_run_without_a_factor_has_its_gradients_compared(tmp_path):
    def plain(name, env, k, step):
        return None if name in FACTORS else 1.0 / (k + 1)

    def without_few(name, env, k, step):
        return None if name in FACTORS and k > 4 else 1.0

    erm = write_watched(tmp_path / "erm", plain, algorithm="ERM")
    ndcl = write_watched(tmp_path / "ndcl", without_few)
    found = diagnose("gradients", ndcl, erm)
    training = part(found.table, "training").set_index(["run", "shots"])
    assert training["amplification"].notna().groupby("run").sum().to_dict() == {"ERM": 0, "NDCL": 2}
    assert len(found.figure.axes) == 8
    assert len(diagnose("gradients", erm).figure.axes) == 4


def test_two_runs_of_one_algorithm_have_names_of_their_own(tmp_path):
    runs = [write_watched(tmp_path / name / "run", constant) for name in "ab"]
    assert set(diagnose("gradients", *runs).table["run"]) == {f"NDCL (run) ({run})" for run in runs}


@pytest.mark.parametrize("group", ["medium", "few"])
def test_groups_without_a_class_are_no_fault(group, tmp_path):
    found = diagnose("gradients", write_watched(tmp_path / "run", constant, shots=[group] * 8))
    assert set(found.table["shots"].dropna()) == {group}
    written = found.write(tmp_path, "gradients", Request(tmp_path))
    assert [path.suffix for path in written if path.stat().st_size] == [".png", ".csv", ".json"]


def test_updates_that_could_not_be_watched_are_in_the_caption(tmp_path):
    run = write_watched(tmp_path / "run", constant)
    assert "could be watched" not in diagnose("gradients", run).caption
    lines = (run / "diagnostics.jsonl").read_text().splitlines(keepends=True)
    (run / "diagnostics.jsonl").write_text("".join(lines[1:]))
    caption = diagnose("gradients", run).caption
    assert caption.endswith(" NDCL: only 15 of 16 updates could be watched.")


def test_a_planted_unstable_prototype_is_flagged(tmp_path):
    def figure_of(name, env, k, step):
        if name == "instability":
            even = 0.1 + 0.01 * ((k + env) % 2)
            return None if step == 0 else 0.5 if (env, k) == (1, 6) else even
        return 0.3

    table = diagnose("prototypes", write_watched(tmp_path / "run", figure_of, shots=None)).table
    flagged = part(table, "training").query("unstable == True")
    assert flagged[["domain", "class", "images"]].to_numpy().tolist() == [["B", "6", 2]]
    assert float(flagged["instability"].iloc[0]) == 0.5


def test_a_planted_dependence_on_the_count_is_found(tmp_path):
    images = {(env, k): n for env, row in enumerate(COUNTS.values()) for k, n in enumerate(row)}

    def figure_of(name, env, k, step):
        if name == "instability":
            return None if step == 0 else (2 - step / 20) / images[env, k] ** 0.5
        return float(images[env, k])

    table = diagnose("prototypes", write_watched(tmp_path / "run", figure_of)).table
    found = part(table, "correlation").set_index("figure")
    assert found["spearman"].to_dict() == {"instability": -1, "norm": 1, "distance": 1}
    assert found["n"].tolist() == [16] * 3


def test_a_run_too_short_for_instability_has_a_figure(tmp_path):
    def figure_of(name, env, k, step):
        return None if name == "instability" else 0.3

    found = diagnose("prototypes", write_watched(tmp_path / "run", figure_of))
    assert not part(found.table, "training")["unstable"].any()
    assert all(path.stat().st_size for path in found.write(tmp_path, "p", Request(tmp_path)))
    values = pd.Series([1.0, 1.0, 1.0, 2.0, 2.1, np.nan])
    assert is_unstable(values).tolist() == [False, False, False, False, True, False]


def test_the_command_says_what_is_missing(tmp_path):
    run = write_watched(tmp_path / "run", constant, shots=None)
    flags = ("diagnose", "gradients", "--run", run, "--output", tmp_path / "out")
    refused = call(*flags)
    assert (refused.status, "without --imbalance" in refused.err) == (2, True)
    refused = call(*flags, "--seed", -1)
    assert refused.status == 2
    assert "--seed must be from 0 to 4294967295; got -1" in refused.err
    (run / "diagnostics.jsonl").write_text('{"step": 0, "updates": 1, "pairs": {"env": [0]}}\n')
    refused = call(*flags)
    assert (refused.status, "damaged" in refused.err) == (2, True)
    (run / "diagnostics.jsonl").write_text("no record")
    with pytest.raises(InputError, match=r"diagnostics\.jsonl holds no record: .* damaged"):
        diagnose("gradients", run)
    (run / "diagnostics.jsonl").unlink()
    with pytest.raises(InputError, match="trained with --diagnostics"):
        diagnose("gradients", run)
