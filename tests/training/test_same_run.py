"""A folder that holds a run already: it is resumed if it holds the same run, else refused."""

from tests.training.runs import assert_same_run, train_shortly

OTHERS = {
    ("--algorithm", "CORAL"): "with --algorithm ERM, not with --algorithm CORAL.",
    ("--steps", 4): "with --steps 2, not with --steps 4.",
    ("--skip_model_save",): "without --skip_model_save, not with --skip_model_save.",
    ("--imbalance", "Duality"): "without --imbalance, not with --imbalance Duality.",
    ("--test_envs", 0, 1): "with --test_envs 0, not with --test_envs 0 1.",
}


def test_another_run_is_refused_by_its_flags_and_the_first_is_kept(tmp_path):
    assert train_shortly(tmp_path).status == 0
    before = (tmp_path / "results.jsonl").read_bytes()
    for flags, said in OTHERS.items():
        outcome = train_shortly(tmp_path, *flags)
        assert outcome.status == 2
        assert f"belongs to a run {said} Use another --output_dir, or start over" in outcome.err
        assert len(outcome.err.splitlines()) == 1
        assert (tmp_path / "results.jsonl").read_bytes() == before


def test_records_that_a_power_cut_has_filled_with_zeros_are_made_again(tmp_path):
    assert train_shortly(tmp_path / "whole").status == 0
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.jsonl").write_bytes(b"\0" * 5)
    outcome = train_shortly(tmp_path / "run")
    assert outcome.status == 0, outcome.err
    assert_same_run(tmp_path / "run", tmp_path / "whole")
