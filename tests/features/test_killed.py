"""An extraction that is killed resumes, and ends with the same features, byte for byte."""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
import sys

import pytest
from PIL import Image

from ndcl_domainbed.testbed.datasets.images import files
from tests.features.commands import features, folders, start, write_photos

MANY = {"per_class": 22, "size": 32}
"""132 images: five batches."""

FEW = {"per_class": 11, "size": 32}
"""66 images: three batches, of which the last has two."""


def _kill_at_rename(number):
    """Kill this process right before it gives a file or a folder its name for the n-th time."""
    count = itertools.count(1)

    def see(event, _arguments):
        if event == "os.rename" and next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(see)


def _content(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


def _left_over(cache):
    return [path for path in cache.iterdir() if path.is_dir() and path.name.startswith(".")]


def _kill_at_every_rename(data_dir, prepare, first=1):
    """Yield the whole features of extractions that were killed and started again.

    They were killed at rename number ``first``, at the next, and so on. ``prepare(cache)`` is
    called before each, and after it there are no features of these images.
    """
    for number in itertools.count(first):
        cache = data_dir / f"cache {number}"
        prepare(cache)
        before = [_content(folder) for folder in folders(cache)]
        kill = functools.partial(_kill_at_rename, number)
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
    for folder in _kill_at_every_rename(tmp_path, prepare=lambda cache: None):
        assert _content(folder) == _content(whole)
        kills += 1
    assert kills > 6  # one per batch, and those of the end


def test_a_kill_while_stale_features_are_replaced_changes_nothing(tmp_path):
    photos = write_photos(tmp_path)
    kills = 0

    def prepare(cache):
        (photos / "ink" / "cup" / "new.png").unlink(missing_ok=True)
        assert features(tmp_path, "--feature_cache", cache).status == 0
        Image.new("RGB", (40, 40), (9, 9, 9)).save(photos / "ink" / "cup" / "new.png")

    for folder in _kill_at_every_rename(tmp_path, prepare, first=7):
        assert json.loads((folder / "features.json").read_text())["images"] == 19
        kills += 1
    assert kills > 1  # before and after the old ones are moved away, at least


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    write_photos(tmp_path, **MANY)
    first = start(tmp_path)
    cache = tmp_path / "features"

    def done():
        return [json.loads(path.read_text())["done"] for path in cache.glob(".*/progress.json")]

    first.wait_until(lambda: done() and done()[0] >= 64)
    first.kill()
    if folders(cache):
        pytest.skip("the machine was too fast: the extraction was over before it was killed")
    (begun,) = done()
    read, names = files.read_rgb, []

    def read_and_note(path):
        names.append(path)
        return read(path)

    monkeypatch.setattr(files, "read_rgb", read_and_note)
    assert features(tmp_path).status == 0
    assert 64 <= begun < 132
    # The width of the features is tried on the first image.
    assert len(set(names)) == 132 - begun + 1
