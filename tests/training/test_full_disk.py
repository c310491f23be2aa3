"""A file that cannot be written ends a run with a message, and costs it nothing."""

from __future__ import annotations

import errno
import functools
import os
import resource

import pytest

from ndcl_domainbed.training import records as records_file
from ndcl_domainbed.training import steps as loop_steps
from tests.training.file_systems import mounted
from tests.training.processes import Command
from tests.training.runs import assert_same_run, records

HPARAMS = '{"backbone": "small_cnn", "batch_size": 6, "resnet_dropout": 0.1}'
TRAIN = (
    "train", "--dataset", "Debug28", "--algorithm", "DANN", "--steps", 9,
    "--checkpoint_freq", 2, "--hparams", HPARAMS,
)  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run that nothing happened to."""
    run = Command(tmp_path_factory.mktemp("undisturbed") / "run", *TRAIN)
    assert run.status() == 0, run.said
    return run.output_dir


def _call_after_update(step, action):
    """Have the next run in this process call ``action`` after an update."""
    update = loop_steps._Steps._update

    def update_and_act(loop, now):
        update(loop, now)
        if now == step:
            action(loop)

    loop_steps._Steps._update = update_and_act


def _forbid_large_files(output_dir, step, limit):
    """From ``step`` on, let no file grow beyond the file ``limit`` names and some bytes more."""
    name, spare = limit

    def forbid(_loop):
        size = (output_dir / name).stat().st_size if name else 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + spare, resource.RLIM_INFINITY))

    _call_after_update(step, forbid)


@pytest.mark.parametrize(
    ("victim", "step", "limit"),
    [
        ("results.jsonl", 6, ("results.jsonl", 100)),
        ("results.jsonl", 8, ("results.jsonl", 100)),
        ("resume.pt", 0, ("", 30_000)),
        ("resume.pt", 4, ("", 30_000)),
        ("model.pkl", 8, ("", 30_000)),
        ("out.txt", 2, ("out.txt", 10)),
    ],
)
def test_a_file_that_cannot_grow(tmp_path, alone, victim, step, limit):
    spoil = functools.partial(_forbid_large_files, step=step, limit=limit)
    run = Command(tmp_path / "run", *TRAIN, before=spoil)
    assert run.status() == 1, run.said
    error = run.said[run.said.index("error: ") :].splitlines()
    assert error[0].startswith(f"error: cannot write {tmp_path / 'run' / victim} ")
    assert error[0].endswith(": File too large.")
    assert victim == "out.txt" or f" after step {step}: " in error[0]
    assert "start again to resume" in error[1]
    assert len(error) == 2
    written = [record["step"] for record in records(tmp_path / "run")]
    assert written == [
        s for s in range(0, 9, 2) if s < step + (victim in ("resume.pt", "model.pkl"))
    ]
    assert not list((tmp_path / "run").glob(".*"))
    again = Command(tmp_path / "run", *TRAIN)
    assert again.status() == 0, again.said
    assert_same_run(tmp_path / "run", alone)


@pytest.fixture
def small_disk(tmp_path):
    """The folder of a file system of a few megabytes."""
    with mounted(tmp_path / "disk", "size=16m") as disk:
        yield disk


def _fill(output_dir, step):
    def fill(_loop):
        with (output_dir.parent / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError as error:
                assert error.errno == errno.ENOSPC

    _call_after_update(step, fill)


def test_a_disk_that_is_full(small_disk, alone):
    run = Command(small_disk / "run", *TRAIN, before=functools.partial(_fill, step=4))
    assert run.status() == 1
    assert f"cannot write {small_disk / 'run'}" in run.said
    assert "after step 4: No space left on device" in run.said
    assert "Traceback" not in run.said
    assert [record["step"] for record in records(small_disk / "run")][:2] == [0, 2]
    (small_disk / "filler").unlink()
    again = Command(small_disk / "run", *TRAIN)
    assert again.status() == 0, again.said
    assert_same_run(small_disk / "run", alone)


def test_half_a_record_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "results.jsonl"
    records_file.append(path, {"step": 0})
    whole = path.read_bytes()
    write, calls = os.write, []

    def write_half(handle, content):
        calls.append(handle)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, bytes(content)[:5])

    monkeypatch.setattr(os, "write", write_half)
    with pytest.raises(OSError, match="No space"):
        records_file.append(path, {"step": 1})
    assert path.read_bytes() == whole
