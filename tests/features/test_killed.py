"""An extraction that is killed resumes, and ends with the same features, byte for byte."""

import functools
import itertools
import json
import signal

from PIL import Image

from ndcl_domainbed.testbed.datasets import image_files as files
from tests.features.commands import features, folders, signal_at_rename, start, write_photos

MANY = {"per_class": 22, "size": 32}
"""132 images: five batches."""

FEW = {"per_class": 11, "size": 32}
"""66 images: three batches, of which the last has two."""


def _content(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


def _left_over(cache):
    return [path for path in cache.iterdir() if path.is_dir() and path.name.startswith(".")]


def _kill_at_renames(data_dir, prepare, numbers):
    """Yield the whole features of extractions that were killed and started again.

    They were killed at one of the renames ``numbers``, as long as there is such a rename.
    ``prepare(cache)`` is called before each; after it there are no features of these images.
    """
    for number in numbers:
        cache = data_dir / f"cache {number}"
        prepare(cache)
        before = [_content(folder) for folder in folders(cache)]
        kill = functools.partial(signal_at_rename, number, signal.SIGKILL)
        killed = start(data_dir, "--feature_cache", cache, before=kill)
        if killed.status() == 0:
            return
        assert killed.status() == -signal.SIGKILL, killed.said
        assert [_content(folder) for folder in folders(cache)] in (before, [])
        again = start(data_dir, "--feature_cache", cache)
        assert again.status() == 0, again.said
        assert not _left_over(cache)
        (folder,) = folders(cache)
        yield folder


def test_a_kill_at_any_moment_changes_nothing(tmp_path):
    write_photos(tmp_path, **FEW)
    alone = start(tmp_path)
    assert alone.status() == 0, alone.said
    (whole,) = folders(tmp_path / "features")
    kills = 0
    for folder in _kill_at_renames(tmp_path, lambda cache: None, itertools.count(2, 2)):
        assert _content(folder) == _content(whole)
        kills += 1
    assert kills > 3


def test_a_kill_while_stale_features_are_replaced_changes_nothing(tmp_path):
    photos = write_photos(tmp_path)
    kills = 0

    def prepare(cache):
        (photos / "ink" / "cup" / "new.png").unlink(missing_ok=True)
        assert features(tmp_path, "--feature_cache", cache).status == 0
        Image.new("RGB", (40, 40), (9, 9, 9)).save(photos / "ink" / "cup" / "new.png")

    for folder in _kill_at_renames(tmp_path, prepare, itertools.count(7)):
        assert json.loads((folder / "features.json").read_text())["images"] == 19
        kills += 1
    assert kills > 1  # before and after the old ones are moved away, at least


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    write_photos(tmp_path, **MANY)
    kill = functools.partial(signal_at_rename, 4, signal.SIGKILL)  # the third batch's note
    assert start(tmp_path, before=kill).status() == -signal.SIGKILL
    (progress,) = (tmp_path / "features").glob(".*/progress.json")
    assert json.loads(progress.read_text())["done"] == 64
    read, names = files.read_rgb, []

    def read_and_note(path, **how):
        names.append(path)
        return read(path, **how)

    monkeypatch.setattr(files, "read_rgb", read_and_note)
    assert features(tmp_path).status == 0
    assert len(set(names)) == 132 - 64 + 1  # the width of the features is tried on the first
