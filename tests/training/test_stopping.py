"""A run that is asked to stop saves its progress, says so, and goes on later."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from ndcl_domainbed.training.feed import Feed
from ndcl_domainbed.training.stopping import StopRequest, StopRequested
from tests.command_line import call
from tests.training.processes import Command
from tests.training.runs import assert_same_run, records

HPARAMS = '{"backbone": "small_cnn", "batch_size": 6, "resnet_dropout": 0.1}'
TRAIN = ("train", "--dataset", "Debug28", "--algorithm", "NDCL", "--hparams", HPARAMS)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_a_run_after_its_step(tmp_path, number, status):
    command = (*TRAIN, "--steps", 300, "--checkpoint_freq", 100)
    run = Command(tmp_path / "stopped", *command)
    run.wait_until(run.records_size)
    os.kill(run.process.pid, number)
    assert run.status() == status
    last = run.said.splitlines()[-1]
    assert last.startswith(f"stopped by {number.name} after step ")
    assert last.endswith("; start again to go on.")
    assert (tmp_path / "stopped" / "err.txt").read_text().splitlines()[-1] == last
    assert "Traceback" not in run.said
    assert not (tmp_path / "stopped" / ".lock").exists()
    again = Command(tmp_path / "stopped", *command)
    assert again.status() == 0, again.said
    assert f"Going on {last.split('by ')[1].split(';')[0].partition(' ')[2]}." in again.said
    alone = Command(tmp_path / "alone", *command)
    assert alone.status() == 0, alone.said
    assert_same_run(tmp_path / "stopped", tmp_path / "alone")


FLAGS = (*TRAIN, "--steps", 5, "--checkpoint_freq", 2, "--output_dir")


@pytest.mark.parametrize("batch", [0, 7, 9, 23])
def test_a_stop_during_an_evaluation_keeps_the_step(tmp_path, monkeypatch, batch):
    assert call(*FLAGS, tmp_path / "alone").status == 0
    read = Feed.split
    seen = []

    def read_and_stop(feed, index):
        for item in read(feed, index):
            seen.append(index)
            if len(seen) - 1 == batch:
                signal.raise_signal(signal.SIGTERM)
            yield item

    monkeypatch.setattr(Feed, "split", read_and_stop)
    outcome = call(*FLAGS, tmp_path / "stopped")
    if batch < 23:
        step = 2 * (batch // 6)  # six splits of one batch each
        assert outcome.status == 143
        assert outcome.err.splitlines()[-1].startswith(f"stopped by SIGTERM after step {step};")
        assert len(records(tmp_path / "stopped")) == step // 2
        assert call(*FLAGS, tmp_path / "stopped").status == 0
    assert outcome.status == (143 if batch < 23 else 0)
    assert_same_run(tmp_path / "stopped", tmp_path / "alone")


def test_a_torn_last_line_is_reported_and_written_again(tmp_path, monkeypatch):
    assert call(*FLAGS, tmp_path / "alone").status == 0
    read = Feed.minibatches
    steps = iter(range(5))

    def read_and_stop(feed):
        if next(steps) == 3:
            signal.raise_signal(signal.SIGTERM)
        return read(feed)

    monkeypatch.setattr(Feed, "minibatches", read_and_stop)
    assert call(*FLAGS, tmp_path / "torn").status == 143
    path = tmp_path / "torn" / "results.jsonl"
    with path.open("a") as file:
        file.write('{"args": {"algorithm": "ND')
    outcome = call(*FLAGS, tmp_path / "torn")
    assert outcome.status == 0
    assert "results.jsonl ended in a torn line, which was removed." in outcome.out
    assert_same_run(tmp_path / "torn", tmp_path / "alone")


def test_the_second_interrupt_leaves_at_once_and_the_old_handlers_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_schedulers_may_repeat_themselves():
    with StopRequest() as stop:
        stop.check()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGTERM
        with pytest.raises(StopRequested):
            stop.check()


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
