"""Several processes, and several users, of one cache."""

import functools
import os
import signal
import tempfile
from pathlib import Path

import pytest

from tests.features.commands import features, folders, signal_at_rename, start, write_photos
from tests.training.file_systems import mounted
from tests.training.processes import be_nobody

MANY = {"per_class": 22, "size": 32}


def test_one_process_computes_and_the_other_waits_and_reads(tmp_path):
    write_photos(tmp_path, **MANY)
    stop = functools.partial(signal_at_rename, 3, signal.SIGSTOP)  # the second batch's note
    first = start(tmp_path, before=stop)
    first.wait_until(lambda: _is_stopped(first.process.pid))
    second = start(tmp_path)
    second.wait_until(lambda: "Waiting" in second.said)
    assert not folders(tmp_path / "features")
    os.kill(first.process.pid, signal.SIGCONT)
    assert (first.status(), second.status()) == (0, 0), first.said + second.said
    assert f"Waiting: process {first.process.pid} on " in second.said
    assert "132 of 132 images" in first.said
    assert "132 of 132 images" not in second.said
    assert "Load them in Python" in second.said


def _is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.fixture
def data_dir():
    """A folder of images that a user without rights can reach, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_photos(folder)
        yield folder


def _without_rights():
    if os.geteuid() == 0:
        be_nobody(None)


def _is_root():
    return os.geteuid() == 0


@pytest.mark.skipif(not _is_root(), reason="only root can give a folder to somebody else")
def test_whole_features_that_can_only_be_read_are_used(data_dir):
    assert features(data_dir).status == 0
    for path in data_dir.glob("photos/ink/cup/*"):
        os.utime(path)  # the note of it cannot be written
    run = start(data_dir, before=_without_rights)
    assert run.status() == 0, run.said
    assert "Load them in Python" in run.said
    assert "of 18 images" not in run.said


def test_a_cache_that_can_only_be_read_cannot_get_features(data_dir):
    (data_dir / "features").mkdir()
    (data_dir / "features").chmod(0o555)
    run = start(data_dir, before=_without_rights)
    assert run.status() == 2
    assert run.said == (
        f"error: cannot write to the folder of features {data_dir / 'features'} "
        "(Permission denied).\nName another one with --feature_cache.\n"
    )


def test_two_data_directories_share_a_cache(tmp_path):
    """The features do not depend on where the images are."""
    photos = write_photos(tmp_path / "here")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "photos").symlink_to(photos)
    cache = ("--feature_cache", tmp_path / "cache")
    assert "18 of 18 images" in features(tmp_path / "here", *cache).out
    outcome = features(tmp_path / "there", *cache)
    assert outcome.status == 0
    assert "of 18 images" not in outcome.out


def test_a_disk_that_is_too_small(tmp_path):
    write_photos(tmp_path)
    with mounted(tmp_path / "disk", "size=32k") as disk:
        run = start(tmp_path, "--feature_cache", disk)
        assert run.status() == 2
        error = run.said[run.said.index("error: ") :]
    assert error == (
        f"error: cannot write features to {disk} (No space left on device).\n"
        "Name a folder that can be written with --feature_cache.\n"
    )
