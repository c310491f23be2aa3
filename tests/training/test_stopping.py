"""A run that is asked to stop saves its progress, says so, and resumes later."""

import functools
import os
import signal
import threading
import time

import pytest
import torch

from ndcl_domainbed.training import stopping
from ndcl_domainbed.training.batches import StepBatches
from ndcl_domainbed.training.feed import BatchStream
from ndcl_domainbed.training.stopping import Stopped, StopRequest
from tests.command_line import call
from tests.training.processes import Command
from tests.training.runs import assert_same_run, records
from tests.training.stops import around_update, stop_at

HPARAMS = '{"backbone": "small_cnn", "batch_size": 6, "resnet_dropout": 0.1}'
TRAIN = ("train", "--dataset", "Debug28", "--algorithm", "NDCL", "--hparams", HPARAMS)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return a function that trains with some flags, undisturbed and once, and gives the folder."""
    folder = tmp_path_factory.mktemp("alone")

    @functools.cache
    def train(*flags):
        outcome = call(*TRAIN, *flags, "--output_dir", folder / str(flags))
        assert outcome.status == 0, outcome.err
        return folder / str(flags)

    return train


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_a_run_after_its_step(tmp_path, alone, number, status):
    flags = ("--steps", 90, "--checkpoint_freq", 30)
    command = (*TRAIN, *flags)
    run = Command(tmp_path / "stopped", *command)
    run.wait_until(run.records_size)
    os.kill(run.process.pid, number)
    assert run.status() == status
    last = run.said.splitlines()[-1]
    assert last.startswith(f"stopped by {number.name} after step ")
    assert last.endswith("; start again to resume.")
    assert (tmp_path / "stopped" / "err.txt").read_text().splitlines()[-1] == last
    assert "Traceback" not in run.said
    assert not (tmp_path / "stopped" / ".lock").exists()
    again = Command(tmp_path / "stopped", *command)
    assert again.status() == 0, again.said
    assert f"Resuming {last.split('by ')[1].split(';')[0].partition(' ')[2]}." in again.said
    assert_same_run(tmp_path / "stopped", alone(*flags))


SHORT = ("--steps", 5, "--checkpoint_freq", 2)
FLAGS = (*TRAIN, *SHORT, "--output_dir")


@pytest.mark.parametrize("batch", [0, 9, 23])
def test_a_stop_during_an_evaluation_keeps_the_step(tmp_path, alone, monkeypatch, batch):
    alone(*SHORT)
    read = BatchStream.split
    seen = []

    def read_and_stop(stream, index):
        for item in read(stream, index):
            seen.append(index)
            if len(seen) - 1 == batch:
                signal.raise_signal(signal.SIGTERM)
            yield item

    monkeypatch.setattr(BatchStream, "split", read_and_stop)
    outcome = call(*FLAGS, tmp_path / "stopped")
    if batch < 23:
        step = 2 * (batch // 6)  # six splits of one batch each
        assert outcome.status == 143
        assert outcome.err.splitlines()[-1].startswith(f"stopped by SIGTERM after step {step};")
        assert len(records(tmp_path / "stopped")) == step // 2
        assert call(*FLAGS, tmp_path / "stopped").status == 0
    assert outcome.status == (143 if batch < 23 else 0)
    assert_same_run(tmp_path / "stopped", alone(*SHORT))


def test_a_torn_last_line_is_reported_and_written_again(tmp_path, alone, monkeypatch):
    alone(*SHORT)
    stop_at(3, patch=monkeypatch.setattr)
    assert call(*FLAGS, tmp_path / "torn").status == 143
    path = tmp_path / "torn" / "results.jsonl"
    with path.open("a") as file:
        file.write('{"args": {"algorithm": "ND')
    outcome = call(*FLAGS, tmp_path / "torn")
    assert outcome.status == 0
    assert "results.jsonl ended in a torn line, which was removed." in outcome.out
    assert_same_run(tmp_path / "torn", alone(*SHORT))


def _hang(output_dir):
    (output_dir / "hanging").write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)


def _hang_in_the_update(output_dir):
    around_update(5, before=lambda: _hang(output_dir))
    stopping.REPEATED = 0.0


def _hang_in_a_loader_process(output_dir):
    read = StepBatches.__getitem__

    def read_or_hang(batches, step):
        if step == 5:
            _hang(output_dir)
        return read(batches, step)

    StepBatches.__getitem__ = read_or_hang
    stopping.REPEATED = 0.0


@pytest.mark.parametrize(
    ("number", "status", "hang", "more"),
    [
        (signal.SIGINT, 130, _hang_in_the_update, ()),
        (signal.SIGTERM, 143, _hang_in_a_loader_process, ("--num_workers", 1)),
    ],
)
def test_a_second_signal_leaves_a_step_that_never_ends(tmp_path, alone, number, status, hang, more):
    flags = ("--steps", 9, "--checkpoint_freq", 2, *more)
    command = (*TRAIN, *flags)
    run = Command(tmp_path / "stopped", *command, before=hang)
    hanging = tmp_path / "stopped" / "hanging"
    run.wait_until(lambda: hanging.exists() and hanging.read_text())
    run.wait_until(lambda: len(records(tmp_path / "stopped")) == 3)
    os.kill(run.process.pid, number)
    run.wait_until(lambda: "a second signal leaves at once" in run.said)
    os.kill(run.process.pid, number)
    assert run.status() == status
    last = f"stopped by {number.name} at once; start again to resume from the last save."
    assert run.said.splitlines()[-1] == last
    assert (tmp_path / "stopped" / "err.txt").read_text().splitlines()[-1] == last
    assert "Traceback" not in run.said
    with pytest.raises(ProcessLookupError):
        os.kill(int(hanging.read_text()), 0)
    again = Command(tmp_path / "stopped", *command)
    assert again.status() == 0, again.said
    assert "Resuming after step " in again.said
    assert_same_run(tmp_path / "stopped", alone(*flags))


def _stop_while_a_loader_process_hangs(output_dir):
    _hang_in_a_loader_process(output_dir)
    torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.1  # how long torch waits for its end
    around_update(4, after=lambda: os.kill(os.getpid(), signal.SIGTERM))


def test_a_stop_does_not_wait_for_a_loader_process_that_hangs(tmp_path):
    command = (*TRAIN, "--steps", 9, "--checkpoint_freq", 9, "--num_workers", 1)
    run = Command(tmp_path, *command, before=_stop_while_a_loader_process_hangs)
    assert run.status() == 143
    assert run.said.splitlines()[-1].startswith("stopped by SIGTERM after step 4;")


def test_leaving_at_once_stays_that_when_a_library_makes_an_error_of_it():
    with pytest.raises(Stopped) as leaving, StopRequest():
        signal.raise_signal(signal.SIGINT)
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            raise RuntimeError("as torch.save does")
    assert leaving.value.code == 130
    assert leaving.value.at_once


def test_no_resume_starts_an_unfinished_run_over(tmp_path, monkeypatch):
    every = ("--save_model_every_checkpoint", "--diagnostics")
    assert call(*FLAGS, tmp_path / "alone", *every, "--no_resume").status == 0
    steps = stop_at(3, patch=monkeypatch.setattr)
    assert call(*FLAGS, tmp_path / "stopped", *every).status == 143
    assert steps == [0, 1, 2, 3]
    (tmp_path / "stopped" / "model_step1.pkl").write_text("of an earlier run")
    again = call(*FLAGS, tmp_path / "stopped", *every, "--no_resume")
    assert again.status == 0, again.err
    assert len(steps) == 4 + 5
    assert "Resuming" not in again.out
    assert "will be made again" not in again.out
    assert_same_run(tmp_path / "stopped", tmp_path / "alone")
    names = [{path.name for path in (tmp_path / run).iterdir()} for run in ("stopped", "alone")]
    assert names[0] == names[1]
    assert (tmp_path / "stopped" / "err.txt").read_text() == ""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_which_signal_is_a_second_one_and_the_old_handlers_come_back(first, second, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopRequest() as stop:
        signal.raise_signal(first)
        if (first, second) != (signal.SIGINT, signal.SIGINT):
            clock[0] += 0.9 * stopping.REPEATED
            signal.raise_signal(second)  # schedulers may repeat themselves
            clock[0] += 0.1 * stopping.REPEATED
        with pytest.raises(Stopped) as leaving:
            signal.raise_signal(second)
        assert leaving.value.code == 128 + second
        assert stop.signal == first
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_ignored_signal_stays_ignored():
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGINT, kept)


def test_outside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def body():
        with StopRequest():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]
