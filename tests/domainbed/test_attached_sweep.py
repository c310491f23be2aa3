"""DomainBed's own scripts run on our datasets: sweep, train, collect_results, list_top_hparams."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.command_line import call
from tests.domainbed.warm_python import ATTACH, TRAIN
from tests.image_folders import write_images

pytestmark = pytest.mark.domainbed


@pytest.fixture(scope="module")
def two_jobs(python, tmp_path_factory):
    """A sweep of DomainBed's of which two jobs run, and what its dummy launcher printed."""
    folder = tmp_path_factory.mktemp("theirs") / "it's a sweep"
    flags = (
        "--datasets Tiny28_Duality --algorithms NDCL --single_test_envs --n_trials 1 "
        "--n_hparams 1 --steps 2 --skip_confirmation --data_dir ."
    )
    command = (
        *ATTACH, "domainbed.scripts.sweep", "launch", *flags.split(), "--output_dir", folder,
        "--hparams", '{"batch_size": 45}', "--command_launcher",
    )  # fmt: skip
    printed = python.run(*command, "dummy")
    assert printed.status == 0, printed.err
    started = sorted(folder.iterdir())[:2]  # the third stays, and counts as incomplete
    for job in started:
        job.rmdir()
    launched = python.run(*command, "local")
    assert launched.status == 0, launched.err
    assert "3 jobs: 0 done, 1 incomplete, 2 not launched." in launched.out
    return folder, started, printed.out


def test_jobs_are_commands_for_the_running_interpreter(two_jobs):
    folder, _, printed = two_jobs
    lines = [
        line.partition("Dummy launcher: ")[2]
        for line in printed.splitlines()
        if "Dummy launcher" in line
    ]
    assert len(lines) == 3
    for line in lines:
        words = shlex.split(line)
        assert words[:4] == [sys.executable, *TRAIN]
        flags = dict(zip(words[4::2], words[5::2], strict=True))
        assert flags["--hparams"] == '{"batch_size": 45}'
        assert flags["--dataset"] == "Tiny28_Duality"
        assert Path(flags["--output_dir"]).parent == folder


def test_the_jobs_of_a_sweep_run_to_done(two_jobs):
    folder, started, _ = two_jobs
    assert sorted(path.parent for path in folder.glob("*/done")) == started
    for job in started:
        records = [json.loads(line) for line in (job / "results.jsonl").open()]
        assert [record["step"] for record in records] == [0, 1]
        assert all("loss_con" in record for record in records)  # NDCL's
        assert {"env0_in_acc", "env0_out_acc", "env2_out_acc"} <= set(records[0])


def test_both_collectors_show_the_dataset_by_its_name(two_jobs, python):
    folder, _, _ = two_jobs
    outcome = python.run(*ATTACH, "domainbed.scripts.collect_results", "--input_dir", folder)
    assert outcome.status == 0, outcome.err
    row = first_row(outcome.out, "Tiny28_Duality", "training-domain")
    assert row[0] == "NDCL"
    assert row.count("+/-") == 2
    assert row.count("X") == 2  # the job that did not run, and so the average
    # What DomainBed takes for a held-out part is the balanced split: ours calls it so. It shows no
    # error of a single trial, and averages over the domains there are, as DomainBed's Averages.
    printed = call("collect_results", "--input_dir", folder).out
    ours = first_row(printed, "Tiny28, imbalance: Duality", "balanced")
    assert ours[:-1] == [part for part in row if part not in ("+/-", "0.0")][:-1]
    assert "averages are over the test domains" in printed
    assert set(first_row(printed, "Tiny28, imbalance: Duality", "training")[1:]) == {"X"}


def first_row(text, dataset, criterion):
    """Return the cells of the first algorithm in the table of a dataset."""
    title = f"-------- Dataset: {dataset}, model selection method: {criterion}"
    return text[text.index(title) :].splitlines()[2].split()


def test_the_chosen_hyper_parameters_can_be_listed(two_jobs, python):
    folder, started, _ = two_jobs
    record = json.loads((started[0] / "results.jsonl").read_text().splitlines()[0])
    outcome = python.run(
        *ATTACH, "domainbed.scripts.list_top_hparams", "--input_dir", folder,
        "--dataset", "Tiny28_Duality", "--algorithm", "NDCL",
        "--test_env", record["args"]["test_envs"][0],
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert "\t\t\talpha: 0.1\n" in outcome.out
    assert str(started[0]) in outcome.out


def test_a_folder_of_images_is_a_dataset_by_its_path(python, tmp_path):
    write_images(tmp_path / "faces", ["a", "b", "c"], ["x", "y"], per_class=9)
    for dataset in ("faces_Exponential", tmp_path / "faces"):
        outcome = python.run(
            *TRAIN, "--dataset", dataset, "--data_dir", ".", "--algorithm", "BSoftmax",
            "--steps", 1, "--hparams", '{"batch_size": 4}',
            "--output_dir", Path("sweep", Path(dataset).name), cwd=tmp_path,
        )  # fmt: skip
        assert outcome.status == 0, outcome.err
    shutil.copytree(tmp_path / "sweep" / "faces", tmp_path / "sweep" / "gone")
    gone = tmp_path / "sweep" / "gone" / "results.jsonl"
    gone.write_text(gone.read_text().replace(f"{tmp_path}/faces", "/no/longer/here"))
    collect = (*ATTACH, "domainbed.scripts.collect_results", "--input_dir", "sweep")
    outcome = python.run(*collect, cwd=tmp_path)
    assert outcome.status == 0, outcome.err
    assert "Dataset: faces_Exponential, model selection" in outcome.out
    assert f"Dataset: {tmp_path}/faces, model selection" in outcome.out
    assert "no table for /no/longer/here: DomainBed's collect_results needs the " in outcome.err
    ours = call("collect_results", "--input_dir", tmp_path / "sweep")
    assert "Dataset: here" in ours.out  # the way out that the message names


def test_what_is_not_ours_trains_as_without_us(python, tmp_path):
    records = []
    for start in (TRAIN, TRAIN[:1] + TRAIN[2:]):
        outcome = python.run(
            *start, "--dataset", "Tiny28", "--data_dir", ".", "--algorithm", "DANN",
            "--hparams_seed", 5, "--steps", 3, "--hparams", '{"batch_size": 8}',
            "--output_dir", f"out{len(records)}", cwd=tmp_path,
        )  # fmt: skip
        assert outcome.status == 0, outcome.err
        lines = (tmp_path / f"out{len(records)}" / "results.jsonl").read_text().splitlines()
        records.append([json.loads(line) for line in lines])
    assert len(records[0]) == 2
    for attached, alone in zip(*records, strict=True):
        attached["args"].pop("output_dir"), alone["args"].pop("output_dir")
        attached.pop("step_time"), alone.pop("step_time")
        assert attached == alone
