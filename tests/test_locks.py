"""One process at a time writes to a folder."""

import errno
import fcntl
import multiprocessing
import platform
import time

import pytest

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.locks import locked
from tests.image_folders import write_images
from tests.training.processes import Command

HPARAMS = '{"backbone": "small_cnn", "batch_size": 4}'


def test_a_second_process_names_the_first_and_leaves(tmp_path):
    command = ("train", "--dataset", "Debug28", "--steps", 2000, "--checkpoint_freq", 500,
               "--hparams", HPARAMS)  # fmt: skip
    first = Command(tmp_path / "run", *command)
    first.wait_until(first.records_size)
    before = (tmp_path / "run" / "out.txt").read_bytes()
    for more in ((), ("--no_resume",)):
        second = Command(tmp_path / "run", *command, *more)
        assert second.status() == 2
        said = second.said.splitlines()
        assert said[0] == (
            f"error: {tmp_path / 'run'} is in use by process {first.process.pid} "
            f"on {platform.node()}."
        )
        assert len(said) == 2
    assert (tmp_path / "run" / "out.txt").read_bytes().startswith(before)
    first.process.terminate()
    assert first.status() == 143


def test_the_folder_of_a_killed_run_is_free_at_once(tmp_path):
    data = write_images(tmp_path / "data", ["a", "b", "c"], ["x", "y"], 6)
    command = ("train", "--dataset", data, "--steps", 60, "--checkpoint_freq", 2, "--num_workers",
               1, "--hparams", HPARAMS)  # fmt: skip
    run = Command(tmp_path / "run", *command)
    run.wait_until(run.records_size)
    run.kill()  # its loader process has not noticed yet
    again = Command(tmp_path / "run", *command)
    assert again.status() == 0, again.said


def test_a_forked_process_does_not_hold_the_lock(tmp_path):
    path = tmp_path / ".lock"
    fork = multiprocessing.get_context("fork")
    with locked(path):
        child = fork.Process(target=time.sleep, args=(60,))
        child.start()
    try:
        with locked(path):
            assert child.is_alive()
    finally:
        child.kill()
        child.join()


def test_the_lock_of_another_in_a_new_folder_of_the_name_is_left_alone(tmp_path):
    """As when a folder is moved aside to be deleted, and a launcher starts its job again."""
    folder = tmp_path / "job"
    folder.mkdir()
    with locked(folder / ".lock"):
        folder.rename(tmp_path / "aside")
        folder.mkdir()
        other = locked(folder / ".lock")
        other.__enter__()
    with pytest.raises(InputError, match="job is in use by process"), locked(folder / ".lock"):
        pass
    assert (folder / ".lock").exists()
    other.__exit__(None, None, None)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_without_locks_the_work_continues_and_says_so(tmp_path, monkeypatch, capsys, number):
    def refuse(handle, operation):
        raise OSError(number, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / ".lock"):
        assert not (tmp_path / ".lock").exists()
    assert "without locks: let no second process use it" in capsys.readouterr().err


def test_another_error_of_the_file_system_is_an_error(tmp_path, monkeypatch):
    def fail(handle, operation):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with (
        pytest.raises(InputError, match=r"cannot write .*: Input/output error"),
        locked(tmp_path / "l"),
    ):
        pass
