"""A file that cannot be written ends a run with a message, and costs it nothing."""

import errno
import functools
import os
import resource
import tempfile
from pathlib import Path

import pytest

from ndcl_domainbed.training import records as records_file
from tests.command_line import call
from tests.training.file_systems import mounted
from tests.training.processes import NOBODY, Command, be_nobody
from tests.training.runs import assert_same_run, records
from tests.training.stops import around_update

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


def _assert_it_failed(run, start, end):
    assert run.status() == 1, run.said
    error = run.said[run.said.index("error: ") :].splitlines()
    assert error[0].startswith(f"error: cannot write {start}")
    assert error[0].endswith(end)
    assert "start again to resume" in error[1]
    assert len(error) == 2


def _assert_it_resumes(run, alone, before=None):
    again = Command(run.output_dir, *TRAIN, before=before)
    assert again.status() == 0, again.said
    assert_same_run(run.output_dir, alone)


def _forbid_large_files(output_dir, step, limit):
    """From ``step`` on, let no file grow beyond the file ``limit`` names and some bytes more."""
    name, spare = limit

    def forbid():
        size = (output_dir / name).stat().st_size if name else 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + spare, resource.RLIM_INFINITY))

    around_update(step, after=forbid)


@pytest.mark.parametrize(
    ("victims", "step", "limit"),
    [
        ("results.jsonl", 6, ("results.jsonl", 100)),
        ("model_best.pkl", 0, ("", 30_000)),
        ("resume.pt model_best.pkl", 4, ("", 30_000)),
        ("model.pkl model_best.pkl", 8, ("", 30_000)),
        ("out.txt", 2, ("out.txt", 10)),
    ],
)
def test_a_file_that_cannot_grow(tmp_path, alone, victims, step, limit):
    spoil = functools.partial(_forbid_large_files, step=step, limit=limit)
    run = Command(tmp_path / "run", *TRAIN, before=spoil)
    _assert_it_failed(run, tmp_path / "run", ": File too large.")
    victim = next(name for name in victims.split() if f"/{name} " in run.said)
    assert victim == "out.txt" or f" after step {step}: " in run.said
    written = [record["step"] for record in records(tmp_path / "run")]
    assert written == [s for s in range(0, 9, 2) if s < step + victim.endswith((".pt", ".pkl"))]
    assert not list((tmp_path / "run").glob(".*"))
    _assert_it_resumes(run, alone)


def _fill_disk(output_dir):
    def fill():
        with (output_dir.parent / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError as error:
                assert error.errno == errno.ENOSPC

    around_update(4, after=fill)


def test_a_disk_that_is_full(tmp_path, alone):
    with mounted(tmp_path / "disk", "size=16m") as disk:
        run = Command(disk / "run", *TRAIN, before=_fill_disk)
        _assert_it_failed(run, disk / "run", "after step 4: No space left on device.")
        assert [record["step"] for record in records(disk / "run")][:2] == [0, 2]
        (disk / "filler").unlink()
        _assert_it_resumes(run, alone)


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


@pytest.fixture
def folder():
    """The folder of a user without rights, who can reach it: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)


def _drop_rights(output_dir):
    if os.geteuid() == 0:
        be_nobody(output_dir)


def test_a_folder_without_the_right_to_write(folder):
    (folder / "run").mkdir()
    folder.chmod(0o777)
    (folder / "run").chmod(0o555)
    run = Command(folder / "run", *TRAIN, before=_drop_rights)
    assert run.status() == 2
    place = f"the output folder {folder / 'run'}"
    assert run.said == f"error: cannot write to {place}: Permission denied\n"
    assert list((folder / "run").iterdir()) == []


def test_a_file_system_that_can_only_be_read(tmp_path):
    with mounted(tmp_path / "disk", "ro,size=1m") as disk:
        outcome = call(*TRAIN, "--output_dir", disk / "run")
        assert outcome.status == 2
        said = f"cannot write to the output folder {disk / 'run'}: Read-only file system"
        assert outcome.err == f"error: {said}\n"
        sweep = ("sweep", "launch", "--datasets", "Debug28", "--algorithms", "ERM", "--data_dir",
                 tmp_path, "--output_dir", disk, "--skip_confirmation")  # fmt: skip
        outcome = call(*sweep)
        assert outcome.status == 2
        said = f"error: cannot write to --output_dir {disk}: Read-only file system\n"
        assert outcome.err == said


def _forbid_writing_after_step_4(output_dir):
    _drop_rights(output_dir)
    around_update(4, after=lambda: output_dir.chmod(0o555))


def test_a_folder_that_loses_the_right_to_write_during_a_run(folder, alone):
    run = Command(folder / "run", *TRAIN, before=_forbid_writing_after_step_4)
    _assert_it_failed(run, folder / "run", " after step 4: Permission denied.")
    assert [record["step"] for record in records(folder / "run")] == [0, 2, 4]
    (folder / "run").chmod(0o755)
    _assert_it_resumes(run, alone, before=_drop_rights)
