"""The cache must never be noticed but by its speed."""

import os
import shutil
import sys

import pandas as pd
import pytest

from ndcl_domainbed import results
from ndcl_domainbed.results import cache, read_sweep
from tests.results.builder import random_sweep, record, write_run


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep whose files are long settled, and a cache for however little there is."""
    monkeypatch.setattr(cache, "LEAST_BYTES", 0)
    root = random_sweep(tmp_path / "sweep", draws=1, trials=1, pairs=False)
    settle(root)
    return root


def load(root) -> pd.DataFrame:
    """Return the records without the details, which no cache holds."""
    return results.load(root, details=False)


def settle(root):
    for path in root.glob("*/results.jsonl"):
        os.utime(path, (10**9, 10**9))


def cache_file(root):
    return root / cache.FILE_NAME


def fresh(root) -> pd.DataFrame:
    """Return what is read without a cache."""
    copy = root.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(cache.FILE_NAME))
    frame = load(copy)
    runs = frame["run"].astype(str).str.replace(str(copy), str(root), regex=False)
    return frame.assign(run=pd.Categorical(runs))


def same(root):
    pd.testing.assert_frame_equal(load(root), fresh(root), check_like=True)


@pytest.fixture
def parsed(monkeypatch):
    """Collects the folders whose files are parsed."""
    seen: list[str] = []
    original = cache.parse_files

    def spy(files, **options):
        seen.extend(file.folder.rpartition("/")[2] for file in files)
        return original(files, **options)

    monkeypatch.setattr(cache, "parse_files", spy)
    return seen


def test_the_second_reading_parses_nothing_and_gives_the_same(sweep, parsed):
    first = load(sweep)
    assert len(parsed) == 8
    assert cache_file(sweep).exists()
    parsed.clear()
    pd.testing.assert_frame_equal(load(sweep), first)
    assert parsed == []


def test_only_what_changed_is_parsed_again(sweep, parsed):
    load(sweep)
    parsed.clear()
    with (sweep / "run0003" / "results.jsonl").open("a") as file:
        file.write((sweep / "run0004" / "results.jsonl").read_text())
    shutil.rmtree(sweep / "run0005")
    write_run(sweep / "run00035", [record(0, {"0_in": 0.5, "0_out": 0.5}, test_envs=[0])])
    frame = load(sweep)
    assert sorted(parsed) == ["run0003", "run00035"]
    assert not frame["run"].astype(str).str.endswith("run0005").any()
    same(sweep)


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_parsed_again(sweep, parsed):
    load(sweep)
    parsed.clear()
    path = sweep / "run0002" / "results.jsonl"
    before = path.stat()
    other = sweep / "other"
    other.write_bytes(path.read_bytes().replace(b'"ERM"', b'"IRM"'))
    os.utime(other, ns=(before.st_mtime_ns, before.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_size == before.st_size
    assert "IRM" in set(load(sweep)["algorithm"])
    assert parsed == ["run0002"]


def test_a_file_that_may_still_change_within_the_clocks_step_is_not_kept(sweep, parsed):
    os.utime(sweep / "run0001" / "results.jsonl")
    load(sweep)
    parsed.clear()
    load(sweep)
    assert parsed == ["run0001"]


def test_marks_are_never_kept(sweep):
    load(sweep)
    (sweep / "run0001" / "done").unlink()
    frame = load(sweep)
    assert set(frame["run"][~frame["done"]].astype(str)) == {str(sweep / "run0001")}


def test_bad_lines_are_remembered(sweep):
    with (sweep / "run0001" / "results.jsonl").open("a") as file:
        file.write("torn")
    settle(sweep)
    first = read_sweep(sweep).bad_lines
    assert list(first.values()) == [1]
    assert read_sweep(sweep).bad_lines == first


@pytest.mark.parametrize("content", [b"", b"garbage", "half", "flipped"])
def test_a_damaged_cache_is_made_again(sweep, parsed, content):
    load(sweep)
    whole = cache_file(sweep).read_bytes()
    half = len(whole) // 2
    if content == "half":
        content = whole[:half]
    if content == "flipped":
        content = whole[:300] + bytes([whole[300] ^ 255]) + whole[301:]
    cache_file(sweep).write_bytes(content)
    parsed.clear()
    same(sweep)
    assert len(parsed) >= 8
    parsed.clear()
    load(sweep)
    assert parsed == []


def test_a_cache_of_another_version_of_the_parser_is_made_again(sweep, parsed, monkeypatch):
    load(sweep)
    parsed.clear()
    monkeypatch.setattr(cache, "_version", lambda: b"another version")
    load(sweep)
    assert len(parsed) == 8


def test_the_cache_goes_with_its_folder(sweep, parsed):
    load(sweep)
    parsed.clear()
    moved = sweep.rename(sweep.parent / "moved")
    assert set(load(moved)["run"].astype(str)) == {str(path) for path in moved.glob("run*")}
    assert parsed == []


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(sweep, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    expected = fresh(sweep)
    monkeypatch.setattr("pyarrow.parquet.write_table", refuse)
    pd.testing.assert_frame_equal(load(sweep), expected, check_like=True)
    assert not list(sweep.glob(".*"))


def test_small_sweeps_are_left_without_a_cache(tmp_path):
    root = random_sweep(tmp_path / "sweep", draws=1, trials=1, pairs=False)
    settle(root)
    load(root)
    assert not cache_file(root).exists()


def test_without_pyarrow_there_is_no_cache(sweep, parsed, monkeypatch):
    expected = fresh(sweep)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for _ in range(2):
        parsed.clear()
        pd.testing.assert_frame_equal(load(sweep), expected, check_like=True)
        assert len(parsed) == 8
    assert not list(sweep.glob(".*"))
