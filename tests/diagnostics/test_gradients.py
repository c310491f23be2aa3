from __future__ import annotations

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


@pytest.mark.parametrize(("rising", "answer"), [(True, "? Yes:"), (False, "? No, it shrinks:")])
def test_the_sentence_says_whether_the_planted_factor_grows(rising, answer, tmp_path):
    run = write_watched(tmp_path / "run", _figures(rising))
    found = _diagnose("gradients", run)
    (sentence,) = [text for text in found.sentences if "does the amplification" in text]
    assert answer in sentence
    assert ("-1.00 [-1.00, -1.00]" if rising else "+1.00 [+1.00, +1.00]") in sentence
    assert "over 8 classes" in sentence
    assert "1 for a Few sample and 1 for a Many sample (1 times" in found.sentences[0]


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
    few = table[(table["part"] == "group") & (table["shots"] == "few") & (table["step"] == 10)]
    assert float(few["grad_logits"].iloc[0]) == pytest.approx((14 + 2 * 7) / 21)


def test_a_run_without_a_factor_has_its_gradients_compared(tmp_path):
    def plain(name, env, k, step):
        return None if name in ("amplification", "crowding") else 1.0 / (k + 1)

    def without_few(name, env, k, step):
        return None if name in ("amplification", "crowding") and k > 4 else 1.0

    erm = write_watched(tmp_path / "erm", plain, algorithm="ERM")
    ndcl = write_watched(tmp_path / "ndcl", without_few)
    found = _diagnose("gradients", ndcl, erm)
    assert [text.split(":")[0] for text in found.sentences] == ["NDCL", "ERM", "NDCL"]
    assert "no Few anchor" in found.sentences[2]
    assert len(found.picture.axes) == 8
    assert len(_diagnose("gradients", erm).picture.axes) == 4


@pytest.mark.parametrize("shots", [["medium"] * 8, ["many"] * 8, ["few"] * 8])
def test_groups_without_a_class_are_unknown_and_not_a_number(shots, tmp_path):
    run = write_watched(tmp_path / "run", _figures(True), shots=shots)
    text = " ".join(_diagnose("gradients", run).sentences)
    assert "unknown for a" in text
    assert "nan" not in text


def test_gradients_of_zero_have_no_ratio(tmp_path):
    def figure_of(name, env, k, step):
        return 0.0 if k < 2 else 1.0

    sentence = _diagnose("gradients", write_watched(tmp_path / "run", figure_of)).sentences[0]
    assert "is 1 for a Few sample and 0 for a Many sample (rank correlation" in sentence


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
