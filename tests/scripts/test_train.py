"""The train command, as a user calls it."""

import json

import pytest
import torch

from tests.command_line import call
from tests.image_folders import write_images
from tests.training.runs import lasting, records


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return write_images(root / "shapes", ["ink", "oil", "pen"], ["cup", "hat", "key"], 16)


def _train(folder, output, *more, algorithm="ERM", steps=7):
    return call(
        "train", "--dataset", folder, "--algorithm", algorithm, "--steps", steps,
        "--checkpoint_freq", 3, "--output_dir", output, "--hparams", '{"batch_size": 4}', *more,
    )  # fmt: skip


def test_a_run_leaves_domainbeds_files_and_records_safe_to_load(folder, tmp_path):
    assert _train(folder, tmp_path, "--test_envs", 1).status == 0
    assert {p.name for p in tmp_path.iterdir()} == {
        "done", "err.txt", "model.pkl", "model_best.pkl", "out.txt", "results.jsonl", "split.json",
    }  # fmt: skip
    found = records(tmp_path)
    assert [record["step"] for record in found] == [0, 3, 6]
    last = found[-1]
    for env in range(3):
        assert 0 <= last[f"env{env}_in_acc"] <= 1
        assert 0 <= last[f"env{env}_out_acc"] <= 1
    assert {"epoch", "loss", "step_time", "mem_gb", "hparams", "args"} <= last.keys()
    assert last["args"]["test_envs"] == [1]
    assert last["hparams"]["batch_size"] == 4
    assert last["backend"] == "embedded"
    assert last["hparams"]["backbone"] == "small_cnn"  # images of 28 x 28, as those of DigitsDG
    assert last["epoch"] == 6 / (int(48 * 0.8 + 1) / 4)
    model = torch.load(tmp_path / "model.pkl", weights_only=True)
    assert model["model_input_shape"] == (3, 28, 28)
    assert (model["model_num_classes"], model["model_num_domains"]) == (3, 2)
    assert model["model_hparams"] == last["hparams"]
    assert torch.equal(
        model["model_dict"]["network.1.weight"], model["model_dict"]["classifier.weight"]
    )
    assert "label_counts" not in json.dumps(found)


def test_the_same_arguments_give_the_same_numbers(folder, tmp_path):
    for name, seed, more in (("a", 3, ()), ("b", 3, ("--imbalance", "none")), ("c", 4, ())):
        _train(folder, tmp_path / name, "--seed", seed, *more, algorithm="NDCL", steps=4)
    assert lasting(tmp_path / "a") == lasting(tmp_path / "b")
    assert records(tmp_path / "b")[0]["args"]["imbalance"] is None
    assert records(tmp_path / "a")[-1]["loss"] != records(tmp_path / "c")[-1]["loss"]


def test_an_imbalanced_run_records_the_protocols_measures(folder, tmp_path):
    outcome = _train(
        folder, tmp_path, "--imbalance", "TotalHeavyTail", "--test_envs", 0, algorithm="NDCL"
    )
    assert outcome.status == 0, outcome.err
    record = records(tmp_path)[-1]
    assert "env0_val_acc" not in record
    assert 0 <= record["env1_val_acc"] <= 1
    groups = [record[f"env0_in_{group}"] for group in ("0many", "1median", "2few", "3zero")]
    assert groups[3] is None
    assert any(group is not None for group in groups[:3])
    of_validation = record["val_class_acc"]
    assert sorted(of_validation) == ["env1_val", "env2_val"]
    for name, row in of_validation.items():  # as many images of each class
        assert sum(row) / len(row) == pytest.approx(record[f"{name}_acc"])
    assert set(record["class_acc"]) == {"env0_in", "env0_out"}
    per_class = record["class_acc"]["env0_in"]
    assert len(per_class) == 3
    split = json.loads((tmp_path / "split.json").read_text())
    assert set(split["train_counts"]) == {"oil", "pen"}
    assert min(min(row) for row in split["train_counts"].values()) >= 1
    for shot, group in zip(("many", "medium", "few"), groups, strict=False):
        members = [a for a, s in zip(per_class, split["shots"], strict=True) if s == shot]
        assert group == (pytest.approx(sum(members) / len(members)) if members else None)


def test_what_is_finished_is_left_alone_and_no_resume_starts_over(folder, tmp_path):
    assert _train(folder, tmp_path, "--keep_resume").status == 0
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] == 6
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".txt"}
    for mistake in (("--algorithm", "IRN"), ("--device", "abacus"), ("--test_envs", "7")):
        assert _train(folder, tmp_path, *mistake, "--no_resume").status == 2
        assert {path: path.read_bytes() for path in before} == before
    kept = lasting(tmp_path)
    for more, stays in ((("--keep_resume",), True), ((), False)):
        assert "done already" in _train(folder, tmp_path, *more).out
        assert (tmp_path / "resume.pt").exists() == stays
    assert (tmp_path / "results.jsonl").read_bytes() == before[tmp_path / "results.jsonl"]
    assert _train(folder, tmp_path, "--no_resume").status == 0
    again = lasting(tmp_path)
    for record in (*kept, *again):
        del record["args"]
    assert again == kept


def test_an_epoch_is_a_pass_over_the_smallest_domain_the_target_included(tmp_path):
    write_images(tmp_path / "images", ["a"], ["x", "y"], per_class=5)
    write_images(tmp_path / "images", ["b", "c"], ["x", "y"], per_class=10)
    outcome = _train(tmp_path / "images", tmp_path / "run", "--hparams", '{"batch_size": 4}')
    assert outcome.status == 0, outcome.err
    for record in records(tmp_path / "run"):
        assert record["epoch"] == record["step"] * 4 / 8  # of 10 images a fifth is held out


def test_a_run_of_a_version_that_knew_fewer_flags_is_the_same_run(folder, tmp_path):
    _train(folder, tmp_path, "--keep_resume")
    (tmp_path / "done").unlink()
    path = tmp_path / "results.jsonl"
    found = records(tmp_path)
    for record in found:
        for name in ("precision", "compile", "log", "keep_resume"):
            del record["args"][name]
    path.write_text("".join(json.dumps(record) + "\n" for record in found))
    before = path.read_bytes()
    assert "Resuming after step 6" in _train(folder, tmp_path).out
    assert path.read_bytes() == before
    assert (tmp_path / "done").exists()
    outcome = _train(folder, tmp_path, "--precision", "bf16")
    assert outcome.status == 2
    assert "belongs to a run with --precision fp32, not with --precision bf16" in outcome.err


def test_a_clock_that_goes_backwards_changes_nothing(folder, tmp_path, monkeypatch):
    _train(folder, tmp_path / "one")
    clock = iter(range(10**9, 0, -1000))
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    assert _train(folder, tmp_path / "two").status == 0
    assert lasting(tmp_path / "one") == lasting(tmp_path / "two")
    assert all(0 < record["step_time"] < 60 for record in records(tmp_path / "two"))


BAD_INPUT = [
    (["--algorithm", "NDLC"], "did you mean 'NDCL'"),
    (["--dataset", "DigitDG"], "did you mean 'DigitsDG'"),
    (["--imbalance", "TotalHeavyTial"], "did you mean 'TotalHeavyTail'"),
    (["--hparams", '{"batchsize": 3}'], "did you mean 'batch_size'"),
    (["--hparams", '{"batch_size": "3"}'], "takes a whole number"),
    (["--hparams", "{batch_size: 3}"], "not valid JSON"),
    (["--hparams", f'{{"batch_size": {"1" * 5000}}}'], "not valid JSON"),
    (["--hparams", "[1]"], "JSON object"),
    (["--test_envs", "7"], "7"),
    (["--test_envs", "0", "1", "2"], "no source domain"),
    (["--hparams", '{"lr": 0.1, "lr": 0.2}'], "lr occurs twice"),
    (["--hparams", "[" * 10**5], "not valid JSON"),
    (["--output_dir", ""], "--output_dir is empty"),
    (["--steps", "0"], "--steps must be at least 1"),
    (["--steps", "1000000000"], "--steps must be at most 1,000,000"),
    (["--eval_images", "0"], "--eval_images must be at least 1; got 0"),
    (["--seed", "99999999999999999999"], "--seed must fit into 64 bits"),
    (["--holdout_fraction", "1.5"], "--holdout_fraction"),
    (["--device", "abacus"], "--device abacus"),
    (["--task", "domain_adaptation"], "--uda_holdout_fraction"),
    (["--task", "domain_adaptation", "--uda_holdout_fraction", "0.001"], "rounds down to no image"),
    (["--unlabeled_fraction", "0.5"], "give --imbalance as well"),
    (["--imbalance", "TotalHeavyTail", "--unlabeled_fraction", "1.5"], "must be from 0 to 1"),
    (["--imbalance", "missing_table.json"], "missing_table.json"),
    (["--dataset", "PACS", "--data_dir", "/nowhere"], "/nowhere"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD_INPUT, ids=lambda value: str(value)[:40])
def test_bad_input_is_two_lines_and_status_2(folder, tmp_path, arguments, said):
    outcome = _train(folder, tmp_path / "run", *arguments)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.startswith("error: ")
    assert len(outcome.err.splitlines()) <= 2
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "run" / "done").exists()


def test_a_loss_that_is_no_number_ends_the_run(folder, tmp_path):
    outcome = _train(folder, tmp_path, "--hparams", '{"lr": 1e30}', steps=50)
    assert outcome.status == 1
    assert "at step" in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "done").exists()
    assert "at step" in (tmp_path / "err.txt").read_text().splitlines()[-1]
