from __future__ import annotations

import itertools
import random
import shutil

import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading.connection import SourceFailure
from ndcl_domainbed.downloading.part import Part
from ndcl_domainbed.downloading.transfer import Patience, Transfer
from tests.downloading.toys import HASTY

BODY = random.Random(0).randbytes(700_000)


def run(url, tmp_path, patience=HASTY, **options):
    """Transfer ``url`` into a part; return it and the progress that was reported."""
    calls = []
    part = Part(tmp_path / "file.zip")
    Transfer(url, part, lambda done, total: calls.append((done, total)), patience, **options).run()
    return part, calls


def test_a_file_arrives_and_its_progress_is_told(host, tmp_path):
    part, calls = run(host.serve("/file", BODY), tmp_path)
    assert part.path.read_bytes() == BODY
    assert part.is_whole
    assert calls[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert host.asked == [("/file", None)]


@pytest.mark.parametrize("resets", [False, True])
def test_a_cut_connection_is_gone_on_with(host, tmp_path, resets):
    url = host.serve("/file", BODY, cuts=[200_000, 300_000], resets=resets)
    part, _ = run(url, tmp_path)
    assert part.path.read_bytes() == BODY
    assert len(host.asked) == 3
    first, *later = host.ranges("/file")
    assert first is None
    assert all(asked.startswith("bytes=") for asked in later)
    if not resets:  # a reset may swallow bytes that were on their way
        assert later == ["bytes=200000-", "bytes=500000-"]


def test_what_an_earlier_run_left_is_gone_on_with(host, tmp_path):
    url = host.serve("/file", BODY, cuts=[400_000] + [0] * HASTY.fruitless)
    with pytest.raises(SourceFailure, match="ended after 400,000 of 700,000"):
        run(url, tmp_path)
    assert (tmp_path / "file.zip.part").read_bytes() == BODY[:400_000]
    host.asked.clear()
    part, calls = run(url, tmp_path)
    assert part.path.read_bytes() == BODY
    assert host.ranges("/file") == ["bytes=400000-"]
    assert calls[0][0] > 400_000


def test_a_whole_part_is_not_asked_for_again(host, tmp_path):
    url = host.serve("/file", BODY)
    run(url, tmp_path)
    host.asked.clear()
    part, _ = run(url, tmp_path)
    assert part.path.read_bytes() == BODY
    assert host.asked == []


def test_a_host_that_cannot_go_on_sends_the_whole_file(host, tmp_path):
    url = host.serve("/file", BODY, ranges=False, cuts=[300_000])
    part, _ = run(url, tmp_path)
    assert part.path.read_bytes() == BODY


@pytest.mark.parametrize("etag", ['"2"', None])
def test_another_version_is_fetched_from_its_beginning(host, tmp_path, etag):
    url = host.serve("/file", BODY, cuts=[300_000] + [0] * HASTY.fruitless)
    with pytest.raises(SourceFailure):
        run(url, tmp_path)
    newer = bytes(reversed(BODY)) + b"more"
    host.serve("/file", newer, etag=etag)
    part, _ = run(url, tmp_path)
    assert part.path.read_bytes() == newer


def test_a_part_of_unclear_origin_is_only_gone_on_with_if_a_digest_will_be_compared(host, tmp_path):
    url = host.serve("/file", BODY)
    for known, expected in ((False, BODY), (True, b"x" * 1000 + BODY[1000:])):
        for path in tmp_path.iterdir():
            path.unlink()
        (tmp_path / "file.zip.part").write_bytes(b"x" * 1000)
        part, _ = run(url, tmp_path, known=known)
        assert part.path.read_bytes() == expected


def test_a_torn_note_is_no_note(host, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(b"x" * 1000)
    (tmp_path / "file.zip.part.json").write_text('{"url": "htt')
    part, _ = run(host.serve("/file", BODY), tmp_path)
    assert part.path.read_bytes() == BODY


def test_a_part_longer_than_the_file_is_dropped(host, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(BODY + b"more")
    part, _ = run(host.serve("/file", BODY), tmp_path, known=True)
    assert part.path.read_bytes() == BODY


def test_a_file_of_unknown_length(host, tmp_path):
    url = host.serve("/file", BODY, announces_length=False)
    part, calls = run(url, tmp_path)
    assert part.path.read_bytes() == BODY
    assert calls[-1] == (len(BODY), None)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_lasting_refusal_is_not_tried_again(host, tmp_path, status):
    url = host.serve("/file", BODY, statuses=[status] * 9)
    with pytest.raises(SourceFailure, match=f"^HTTP {status} "):
        run(url, tmp_path)
    assert len(host.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_refusal_is_tried_again(host, tmp_path, status):
    url = host.serve("/file", BODY, statuses=[status, status])
    part, _ = run(url, tmp_path)
    assert part.path.read_bytes() == BODY
    host.files["/file"].statuses += [status] * 9
    part.discard()
    with pytest.raises(SourceFailure, match=f"^HTTP {status} "):
        run(url, tmp_path)


def test_pauses_double_while_nothing_comes(host, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    url = host.serve("/file", BODY, statuses=[503] * 4)
    with pytest.raises(SourceFailure):
        run(url, tmp_path, Patience(fruitless=4, pause=2.0))
    assert pauses == [2.0, 4.0, 8.0]


def test_a_host_that_falls_silent_is_asked_for_the_rest(host, tmp_path):
    url = host.serve("/file", BODY, stalls_after=400_000)
    part, _ = run(url, tmp_path, Patience(timeout=0.5, fruitless=3, pause=0.0))
    assert part.path.read_bytes() == BODY
    assert host.ranges("/file")[-1] == "bytes=400000-"


def test_a_host_that_says_nothing(host, tmp_path):
    url = host.serve("/file", BODY, stalls_after=0)
    with pytest.raises(SourceFailure, match="no answer in time"):
        run(url, tmp_path, Patience(timeout=0.2, fruitless=1, pause=0.0))


def test_nobody_listens(host, tmp_path):
    url = host.serve("/file", BODY)
    host.__exit__()
    with pytest.raises(SourceFailure, match="refused"):
        run(url, tmp_path)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "file:///etc/hostname", "gdrive"])
def test_only_http(url, tmp_path):
    with pytest.raises(SourceFailure, match="no http address"):
        run(url, tmp_path)


def test_a_host_too_slow_is_left_only_if_there_is_another(host, tmp_path):
    url = host.serve("/file", BODY)
    patience = Patience(pause=0.0, slowest=1e9, window=2.0)
    ticks = itertools.count()
    with pytest.raises(SourceFailure, match=r"brings only .* a second"):
        run(url, tmp_path, patience, hurried=True, clock=lambda: float(next(ticks)))
    kept = (tmp_path / "file.zip.part").stat().st_size
    assert 0 < kept < len(BODY)
    part, _ = run(url, tmp_path, patience, clock=lambda: float(next(ticks)))
    assert part.path.read_bytes() == BODY


def test_a_file_of_the_wrong_size_costs_no_download_and_no_part(host, tmp_path):
    right = host.serve("/right", BODY, cuts=[300_000] + [0] * HASTY.fruitless)
    with pytest.raises(SourceFailure):
        run(right, tmp_path, size=len(BODY))
    wrong = host.serve("/wrong", BODY[:-1])
    with pytest.raises(SourceFailure, match="a file of 699,999 bytes and not of 700,000"):
        run(wrong, tmp_path, size=len(BODY), known=True)
    assert (tmp_path / "file.zip.part").read_bytes() == BODY[:300_000]


def test_a_full_disk_is_seen_before_anything_is_fetched(host, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=50_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"700\.0 kB more are needed .* 50\.0 kB are free"):
        run(host.serve("/file", BODY), tmp_path)


def test_a_disk_that_fails_is_no_fault_of_the_host(host, tmp_path, monkeypatch):
    def fail(self, origin):
        raise InputError("disk")

    monkeypatch.setattr(Part, "start", fail)
    with pytest.raises(InputError, match="disk"):
        run(host.serve("/file", BODY), tmp_path)
