from __future__ import annotations

import numpy as np
import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.diagnostics import Request, get_diagnostic
from tests.command_line import call
from tests.diagnostics.watched import COUNTS, write_watched

IMAGES = [a + b for a, b in zip(*COUNTS.values(), strict=True)]


def _figures(rising):
    """A factor that rises (or falls) with the class's rarity; gradients of 1 everywhere."""

    def figure_of(name, env, k, step):
        if name in ("amplification", "crowding"):
            return (k + 1.0) if rising else (10.0 - k)
        return 1.0

    return figure_of


def _diagnose(name, *folders):
    return get_diagnostic(name).diagnose(Request(folders[0], tuple(folders[1:])))


@pytest.mark.parametrize(("rising", "rho"), [(True, -1), (False, 1)])
def test_the_table_has_the_correlation_of_the_planted_factor(rising, rho, tmp_path):
    run = write_watched(tmp_path / "run", _figures(rising))
    table = _diagnose("gradients", run).table
    found = table[table["part"] == "correlation"].set_index("figure")
    assert found.loc["amplification", ["spearman", "low", "high", "n"]].tolist() == [rho] * 3 + [8]
    assert np.isnan(found.loc["grad_logits", "spearman"])  # of a constant


def test_means_are_weighted_by_what_they_are_over(tmp_path):
    def figure_of(name, env, k, step):
        return float(1 + env)  # domain B has twice the gradient of A

    run = write_watched(tmp_path / "run", figure_of, tail='{"step": 40, "torn')
    table = _diagnose("gradients", run).table
    classes = table[table["part"] == "class"].set_index("class")
    for k, images in enumerate(IMAGES):
        expected = (COUNTS["A"][k] + 2 * COUNTS["B"][k]) / images
        assert classes.loc[str(k), "grad_logits"] == pytest.approx(expected)
        assert classes.loc[str(k), "amplification"] == pytest.approx(expected)
        assert classes.loc[str(k), "samples"] == 4 * images
        assert classes.loc[str(k), "class_images"] == images
    for part, step in (("group", 10), ("training", None)):
        few = table[(table["part"] == part) & (table["shots"] == "few")]
        few = few if step is None else few[few["step"] == step]
        assert float(few["grad_logits"].iloc[0]) == pytest.approx((14 + 2 * 7) / 21)


def test_a_run_without_a_factor_has_its_gradients_compared(tmp_path):
    def plain(name, env, k, step):
        return None if name in ("amplification", "crowding") else 1.0 / (k + 1)

    def without_few(name, env, k, step):
        return None if name in ("amplification", "crowding") and k > 4 else 1.0

    erm = write_watched(tmp_path / "erm", plain, algorithm="ERM")
    ndcl = write_watched(tmp_path / "ndcl", without_few)
    found = _diagnose("gradients", ndcl, erm)
    training = found.table[found.table["part"] == "training"].set_index(["run", "shots"])
    assert training["amplification"].notna().groupby("run").sum().to_dict() == {"ERM": 0, "NDCL": 2}
    assert len(found.picture.axes) == 8
    assert len(_diagnose("gradients", erm).picture.axes) == 4


@pytest.mark.parametrize("shots", [["medium"] * 8, ["many"] * 8, ["few"] * 8])
def test_groups_without_a_class_are_no_fault(shots, tmp_path):
    run = write_watched(tmp_path / "run", _figures(True), shots=shots)
    found = _diagnose("gradients", run)
    assert set(found.table["shots"].dropna()) == set(shots)
    assert [path.stat().st_size > 0 for path in found.write(tmp_path, "g", {})] == [True] * 3


def test_updates_that_could_not_be_watched_are_in_the_caption(tmp_path):
    run = write_watched(tmp_path / "run", _figures(True))
    assert "could be watched" not in _diagnose("gradients", run).caption
    lines = (run / "diagnostics.jsonl").read_text().splitlines(keepends=True)
    (run / "diagnostics.jsonl").write_text("".join(lines[1:]))
    caption = _diagnose("gradients", run).caption
    assert caption.endswith(" NDCL: only 15 of 16 updates could be watched.")


def test_the_command_says_what_is_missing(tmp_path):
    def plain(name, env, k, step):
        return 1.0

    run = write_watched(tmp_path / "run", plain, shots=None)
    refused = call("diagnose", "gradients", "--run", run, "--output", tmp_path / "out")
    assert (refused.status, "without --imbalance" in refused.err) == (2, True)
    (run / "diagnostics.jsonl").write_text('{"step": 0, "updates": 1, "pairs": {"env": [0]}}\n')
    refused = call("diagnose", "gradients", "--run", run, "--output", tmp_path / "out")
    assert (refused.status, "damaged" in refused.err) == (2, True)
    (run / "diagnostics.jsonl").write_text("no record")
    with pytest.raises(InputError, match=r"diagnostics\.jsonl holds no record: .* damaged"):
        _diagnose("gradients", run)
    (run / "diagnostics.jsonl").unlink()
    with pytest.raises(InputError, match="trained with --diagnostics"):
        _diagnose("gradients", run)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_cannot_be_drawn_from_is_refused(seed, tmp_path):
    refused = call("diagnose", "gradients", "--run", tmp_path, "--output", tmp_path, "--seed", seed)
    assert refused.status == 2
    assert f"--seed must be from 0 to 4294967295; it was given {seed}" in refused.err
