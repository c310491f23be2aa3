from __future__ import annotations

import random
import shutil

import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading.downloaders import Patience, _describe_drive_error
from ndcl_domainbed.downloading.fetching import NotFetched, fetch
from ndcl_domainbed.downloading.recipe import RemoteFile
from tests.downloading.toys import HASTY, Listener, md5

BODY = random.Random(1).randbytes(2_000_000)
QUOTA = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"


@pytest.fixture
def view():
    return Listener()


@pytest.fixture
def get(tmp_path, view):
    """Fetch a file from addresses; return its content."""

    def fetch_from(*urls, patience=HASTY, **known):
        path = fetch(RemoteFile("x.zip", urls, **known), tmp_path, view, patience)
        assert path == tmp_path / "x.zip"
        return path.read_bytes()

    return fetch_from


def kept(tmp_path):
    """Return the sizes of the parts that wait for the next try."""
    return [path.stat().st_size for path in tmp_path.glob("x.zip.*.part/*")]


def reasons(caught):
    return [reason for _, reason in caught.value.tried]


def test_the_first_address_that_gives_the_file_is_enough(host, tmp_path, view, get):
    assert get(f"{host.address}/gone", host.serve("/b", BODY), host.serve("/c", BODY)) == BODY
    assert [name for name, _ in host.asked] == ["/gone", "/b"]
    assert list(tmp_path.iterdir()) == [tmp_path / "x.zip"]
    here = host.address.removeprefix("http://")
    assert view.lines == [
        f"x.zip: fetching from {here}",
        f"x.zip: {here}: HTTP 404 Not Found",
        f"x.zip: fetching from {here}",
    ]


def test_progress_is_reported(host, view, get):
    get(host.serve("/a", BODY))
    calls = view.steps["x.zip"]
    assert calls[-1] == (len(BODY), len(BODY))
    assert calls == sorted(calls)


def test_what_is_here_is_not_fetched_again(host, tmp_path, view, get):
    url, known = host.serve("/a", BODY), {"digest": md5(BODY), "size": len(BODY)}
    get(url, **known)
    host.asked.clear()
    get(url, **known)
    assert host.asked == []
    assert view.lines[-1] == "x.zip: here already"
    (tmp_path / "x.zip").write_bytes(BODY[:-1] + b"?")
    assert get(url, **known) == BODY


def test_a_cut_connection_is_resumed(host, get):
    url = host.serve("/a", BODY, cuts=[900_000, 600_000])
    assert get(url) == BODY
    assert any(asked is not None for asked in host.ranges("/a"))


def test_an_interrupted_download_is_resumed_at_the_same_address(host, tmp_path, get):
    url = host.serve("/a", BODY, cuts=[900_000] + [0] * 9)
    with pytest.raises(NotFetched) as caught:
        get(url)
    assert "incomplete: received" in reasons(caught)[0]
    (size,) = kept(tmp_path)
    assert size > 100_000
    host.files["/a"].cuts, host.asked = [], []
    other = host.serve("/b", BODY)
    assert get(url, other) == BODY
    assert f"bytes={size}-" in host.ranges("/a")
    assert host.ranges("/b") == []
    assert kept(tmp_path) == []


def test_another_address_starts_from_the_beginning(host, tmp_path, get):
    broken = host.serve("/a", BODY[::-1], cuts=[900_000] + [0] * 9)
    assert get(broken, host.serve("/b", BODY)) == BODY
    assert host.ranges("/b") == [None]
    assert kept(tmp_path) == []


def test_a_host_that_cannot_continue_sends_the_whole_file(host, get):
    assert get(host.serve("/a", BODY, ranges=False, cuts=[900_000])) == BODY


def test_a_host_that_cannot_continue_and_is_always_cut_fails(host, get):
    with pytest.raises(NotFetched):
        get(host.serve("/a", BODY, ranges=False, cuts=[900_000] * 99))
    assert len(host.asked) < 30


def test_a_wrong_file_leads_to_the_mirror(host, view, get):
    wrong, right = host.serve("/a", BODY[::-1]), host.serve("/b", BODY)
    assert get(wrong, right, digest=md5(BODY)) == BODY
    assert "gave a file whose md5 begins with " in view.lines[1]
    assert "x.zip: checking" in view.steps


def test_every_failure_is_named_and_what_arrived_is_kept(host, tmp_path, get):
    urls = (
        f"{host.address}/gone",
        host.serve("/wrong", BODY[::-1]),
        host.serve("/cut", BODY, cuts=[900_000] + [0] * 9),
        host.serve("/page", QUOTA, content_type="text/html"),
        host.serve("/short", BODY[:-1]),
        "ftp://127.0.0.1/x",
    )
    with pytest.raises(NotFetched) as caught:
        get(*urls, digest=md5(BODY))
    assert [url for url, _ in caught.value.tried] == list(urls)
    found = reasons(caught)
    assert found[0] == "HTTP 404 Not Found"
    assert found[1].startswith("gave a file whose md5 begins with")
    assert found[2].startswith("Download is incomplete: received ")
    assert found[3] == 'sent a web page and not the file: "Google Drive - Quota exceeded"'
    assert found[4].startswith("gave a file whose md5 begins with")
    assert "ftp://127.0.0.1/x" in found[5]
    assert len(kept(tmp_path)) == 1
    assert not (tmp_path / "x.zip").exists()


def test_a_file_of_the_wrong_size_costs_no_download(host, tmp_path, get):
    with pytest.raises(NotFetched) as caught:
        get(host.serve("/a", BODY[:-1]), size=len(BODY))
    assert reasons(caught) == ["has a file of 1,999,999 bytes and not of 2,000,000"]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_lasting_refusal_is_not_tried_again(host, get, status):
    with pytest.raises(NotFetched) as caught:
        get(host.serve("/a", BODY, statuses=[status] * 9))
    assert reasons(caught)[0].startswith(f"HTTP {status} ")
    assert len(host.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_refusal_is_tried_again(host, get, status):
    assert get(host.serve("/a", BODY, statuses=[status, status])) == BODY
    with pytest.raises(NotFetched) as caught:
        get(host.serve("/b", BODY, statuses=[status] * 9), digest=md5(b"other"))
    assert reasons(caught)[0].startswith(f"HTTP {status} ")


def test_pauses_double_while_nothing_comes(host, get, monkeypatch):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    with pytest.raises(NotFetched):
        url = host.serve("/a", BODY, statuses=[503] * 4)
        get(url, patience=Patience(max_stalls=4, pause=2.0))
    assert [pause for pause in pauses if pause >= 2] == [2.0, 4.0, 8.0]


def test_a_host_that_says_nothing(host, get):
    with pytest.raises(NotFetched) as caught:
        url = host.serve("/a", BODY, stalls_after=0)
        get(url, patience=Patience(timeout=0.3, max_stalls=1, pause=0.0))
    assert reasons(caught) == ["no answer in time"]


def test_nobody_listens(host, get):
    url = host.serve("/a", BODY)
    host.__exit__()
    with pytest.raises(NotFetched) as caught:
        get(url)
    assert "refused" in reasons(caught)[0]


def test_a_host_too_slow_is_left_only_if_there_is_another(host, get):
    patience = Patience(pause=0.0, min_rate=1e12, window=1e-9)
    assert get(host.serve("/a", BODY), host.serve("/b", BODY), patience=patience) == BODY
    assert [path for path, _ in host.asked] == ["/a", "/b"]


def test_a_full_disk_is_seen_before_the_file_is_fetched(host, tmp_path, get, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=50_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"MB more are needed for x.zip and 50\.0 kB are free"):
        get(host.serve("/a", BODY))


def test_a_digest_is_compared_as_far_as_it_is_known(host, get):
    url = host.serve("/a", BODY)
    assert get(url, digest=md5(BODY)[: 4 + 32]) == BODY
    with pytest.raises(ValueError, match="32 digits or more"):
        get(url, digest=md5(BODY)[: 4 + 20])


def hub_headers(body):
    return {"X-Repo-Commit": "0a1b", "ETag": md5(body), "Accept-Ranges": "bytes"}


def test_a_file_of_the_hub_comes_by_its_own_library(host, tmp_path, view, get):
    url = host.serve(
        "/datasets/lab/x/resolve/0a1b/data/x.zip", BODY, etag=None, headers=hub_headers(BODY)
    )
    assert get(url, digest=md5(BODY), size=len(BODY)) == BODY
    assert list(tmp_path.iterdir()) == [tmp_path / "x.zip"]
    assert view.steps["x.zip"][-1] == (len(BODY), len(BODY))


def test_a_file_that_the_hub_does_not_have_leads_to_the_mirror(host, get):
    missing = f"{host.address}/datasets/lab/x/resolve/0a1b/x.zip"
    assert get(missing, host.serve("/b", BODY)) == BODY
    with pytest.raises(NotFetched) as caught:
        get(missing, digest=md5(b"other"))
    assert reasons(caught)[0].startswith("HTTP 404")


def test_what_google_drive_says_is_one_line():
    error = Exception(
        "Failed:\n\n\tToo many users have viewed\n\tthis file.\n\nx:\n\n\thttps://y\n"
    )
    assert _describe_drive_error(error) == (
        'Google Drive does not give the file: "Too many users have viewed this file."'
    )
