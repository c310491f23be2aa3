"""A sweep that is read again: the same frames, parsed only if a file has changed."""

import os

import pandas as pd
import pytest

from ndcl_domainbed.results import cache, parsing
from ndcl_domainbed.results.reading import read_sweep
from tests.results.builder import random_sweep


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(cache, "MIN_RUNS", 1)
    random_sweep(tmp_path, pairs=False, trials=1)
    for path in tmp_path.rglob("results.jsonl"):
        os.utime(path, (1e9, 1e9))
    return tmp_path


@pytest.fixture
def parsed(monkeypatch):
    """Count how often files are parsed."""
    calls = []
    plain = parsing.parse_folders
    monkeypatch.setattr(parsing, "parse_folders", lambda *a, **k: calls.append(1) or plain(*a, **k))
    return calls


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.frame(), other.frame())
    assert one.runs.equals(other.runs)


def test_an_unchanged_sweep_is_parsed_once(sweep, parsed):
    first = read_sweep(sweep)
    assert_same(read_sweep(sweep), first)
    assert len(parsed) == 1
    read_sweep(sweep, details=True)
    assert len(parsed) == 2


@pytest.mark.parametrize("change", ["grows", "is gone", "damage", "parser", "is new"])
def test_what_has_changed_is_parsed_again(sweep, parsed, monkeypatch, change):
    if change == "is new":  # a second change might not show in its time
        os.utime(next(sweep.rglob("results.jsonl")))
    read_sweep(sweep)
    path = sorted(sweep.rglob("results.jsonl"))[0]
    if change == "grows":
        path.write_bytes(path.read_bytes() * 2)
        os.utime(path, (1e9, 1e9))
    if change == "is gone":
        path.unlink()
    if change == "damage":
        (sweep / cache.FILE_NAMES[1]).write_bytes(b"PAR1")
    if change == "parser":
        other = sweep / "parsing.py"
        other.write_text("")
        monkeypatch.setattr(parsing, "__file__", str(other))
    again = read_sweep(sweep)
    assert len(parsed) == 2
    monkeypatch.setattr(cache, "MIN_RUNS", 10**9)
    assert_same(again, read_sweep(sweep))


def test_a_folder_that_cannot_be_written_is_read(sweep, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    assert len(read_sweep(sweep).runs) == 24
    assert not list(sweep.glob(".ndcl*"))
