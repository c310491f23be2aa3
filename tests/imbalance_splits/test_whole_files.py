"""A file appears whole or not at all."""

import os

import pytest

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import whole_file, write_in_folder, write_whole


def test_the_old_content_stays_until_the_new_is_whole(tmp_path):
    path = tmp_path / "model.pkl"
    with whole_file(path) as partial:
        partial.write_text("old")
    with pytest.raises(OSError, match="no space"), whole_file(path) as partial:
        partial.write_text("ne")
        raise OSError("no space left on device")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_that_write_the_same_file_do_not_mix(tmp_path):
    """As on two machines with processes of the same number."""
    path = tmp_path / "table.csv"
    with whole_file(path) as one, whole_file(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the outer block ended last
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_reaches_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    named = []
    monkeypatch.setattr(os, "fsync", lambda handle: named.append(path.exists()))
    write_whole(path, "content")
    assert named == [False]
    assert path.read_text() == "content"


def test_a_file_may_be_read_by_whom_the_umask_lets(tmp_path):
    write_whole(tmp_path / "table.csv", "content")
    (tmp_path / "plain").write_text("content")
    assert (tmp_path / "table.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_no_file_is_written_to_as_it_stands(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_in_folder(pipe, "content")
    with whole_file(pipe) as path:
        path.write_text(", more")
    assert os.read(reader, 100) == b"content, more"
    os.close(reader)
    assert pipe.is_fifo()


def test_the_folder_is_made(tmp_path):
    path = tmp_path / "a" / "b" / "table.csv"
    with pytest.raises(InputError, match=r"table\.csv: cannot be written \(No such file"):
        write_whole(path, "content")
    write_in_folder(path, "content")
    assert path.read_text() == "content"
    with pytest.raises(InputError, match=r"b/table\.csv: cannot be made \(File exists\)"):
        write_in_folder(path / "below", "content")
