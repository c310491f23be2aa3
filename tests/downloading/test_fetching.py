import io
import json
import random
import threading

import gdown
import pytest

from ndcl_domainbed.downloading import address, fetching, hub_parquet
from ndcl_domainbed.downloading.fetching import fetch
from ndcl_domainbed.downloading.progress import show_progress
from ndcl_domainbed.downloading.recipe import RemoteFile, SourceFailure
from tests.downloading.toys import md5

BODY = random.Random(1).randbytes(2_000_000)
QUOTA = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"
ALWAYS_CUT = [900_000] + [0] * 99


@pytest.fixture
def get(tmp_path):
    """Download a file from addresses; return its content."""

    def fetch_from(*urls, **known):
        path = fetch(RemoteFile("x.zip", urls, **known), tmp_path)
        assert path == tmp_path / "x.zip"
        return path.read_bytes()

    return fetch_from


def parts(tmp_path):
    """Return the sizes of the parts that wait for the next try."""
    return [path.stat().st_size for path in tmp_path.glob("x.zip.*.part")]


def test_the_first_address_that_gives_the_file_is_enough(host, tmp_path, get, capsys):
    assert get(f"{host.address}/gone", host.serve("/b", BODY), host.serve("/c", BODY)) == BODY
    assert [name for name, _ in host.asked] == ["/gone", "/b"]
    assert list(tmp_path.iterdir()) == [tmp_path / "x.zip"]
    here = host.address.removeprefix("http://")
    assert capsys.readouterr().out.splitlines() == [
        f"x.zip: downloading from {here}",
        f"x.zip: {here}: HTTP 404 Not Found",
        f"x.zip: downloading from {here}",
    ]


def test_a_cut_connection_is_resumed(host, get):
    assert get(host.serve("/a", BODY, cuts=[900_000, 600_000])) == BODY
    assert any(asked is not None for asked in host.ranges("/a"))


def test_a_host_that_cannot_resume_sends_the_whole_file(host, tmp_path, get):
    assert get(host.serve("/a", BODY, ranges=False, cuts=[900_000])) == BODY
    assert parts(tmp_path) == []


def test_every_failure_is_named_and_what_arrived_is_kept(host, tmp_path, get):
    urls = (
        f"{host.address}/gone",
        host.serve("/wrong", BODY[::-1]),
        host.serve("/cut", BODY, cuts=ALWAYS_CUT),
        host.serve("/page", QUOTA, content_type="text/html"),
        host.serve("/short", BODY[:-1]),
        "ftp://127.0.0.1/x",
    )
    with pytest.raises(SourceFailure) as caught:
        get(*urls, digest=md5(BODY), size=len(BODY))
    for url, line, reason in zip(urls, str(caught.value).splitlines(), [
        "HTTP 404 Not Found",
        "gave a file whose md5 begins with",
        "Download is incomplete: received ",
        'sent a web page instead of the file: "Google Drive - Quota exceeded"',
        "gave a file of 1,999,999 bytes instead of 2,000,000",
        "No connection adapters were found for 'ftp://127.0.0.1/x",
    ], strict=True):  # fmt: skip
        assert line.startswith(f"{url}: {reason}")
    assert len(parts(tmp_path)) == 1
    assert not (tmp_path / "x.zip").exists()


def test_a_silent_host_and_no_host_at_all(host, get, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.2)
    silent = host.serve("/a", BODY, stalls_after=0)
    with pytest.raises(SourceFailure, match=f"^{silent}: no answer in time$"):
        get(silent)
    host.__exit__()
    with pytest.raises(SourceFailure, match=r": .*Connection refused$"):
        get(silent)


def test_what_google_drive_answers_is_one_line(get, monkeypatch):
    def refuse(*args, **options):
        raise gdown.exceptions.FileURLRetrievalError(
            "Failed:\n\n\tToo many users have viewed\n\tthis file.\n\nSee:\n\n\thttps://y\n"
        )

    monkeypatch.setattr(gdown, "download", refuse)
    url = address("drive:abc")
    with pytest.raises(SourceFailure) as caught:
        get(url)
    assert str(caught.value) == (
        f"{url}: Failed: Too many users have viewed this file. See: https://y"
    )


def test_a_digest_is_compared_as_far_as_it_is_known(host, get, tmp_path):
    url = host.serve("/a", BODY)
    assert get(url, digest=md5(BODY)[: 4 + 32]) == BODY
    (tmp_path / "x.zip").write_bytes(BODY[:-1] + b"?")  # it is downloaded again
    assert get(url, digest=md5(BODY)[: 4 + 32]) == BODY
    with pytest.raises(ValueError, match="32 digits or more"):
        get(url, digest=md5(BODY)[: 4 + 20])


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self):
        return True


def test_a_bar_shows_size_and_time_to_go_and_a_log_file_stays_quiet(monkeypatch):
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        with show_progress("real.zip") as report:
            for done in range(5):
                threading.Event().wait(0.06)
                report(done * 10**6, 5 * 10**6)
        assert ("real.zip" in stream.getvalue()) == stream.isatty()
        assert ("/5.00M" in stream.getvalue()) == stream.isatty()


LISTING = "/api/datasets/lab/pictures?blobs=true"


def listing(*files):
    siblings = [{"rfilename": name, "size": 1, "blobId": "x"} | lfs for name, lfs in files]
    return json.dumps({"id": "lab/pictures", "sha": "0a1b", "siblings": siblings}).encode()


def test_the_parquet_files_of_a_repository_are_listed_with_size_and_digest(host, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{host.address}/")
    lfs = {"lfs": {"sha256": "ab" * 32, "size": 70, "pointerSize": 130}}
    host.serve(LISTING, listing(("README.md", {}), ("data/train-0.parquet", lfs)))
    assert hub_parquet("lab/pictures") == (
        RemoteFile(
            name="train-0.parquet",
            urls=(f"{host.address}/datasets/lab/pictures/resolve/0a1b/data/train-0.parquet",),
            digest="sha256:" + "ab" * 32,
            size=70,
        ),
    )
    for body, reason in (
        (b"<html>", ""),
        (listing(("a.parquet", {})), "lfs"),
        (listing(("a.csv", {})), "no Parquet file"),
    ):
        host.serve(LISTING, body)
        with pytest.raises(
            SourceFailure, match=f"{host.address}/datasets/lab/pictures: .*{reason}"
        ):
            hub_parquet("lab/pictures")
    del host.files[LISTING]
    with pytest.raises(SourceFailure, match="404"):
        hub_parquet("lab/pictures")


def test_the_forms_of_addresses(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    url = address("hub:lab/x@main/a/b.zip")
    assert url == "https://huggingface.co/datasets/lab/x/resolve/main/a/b.zip"
    assert address("https://a.org/b@c:d") == "https://a.org/b@c:d"
    assert address("github:lab/x@0a1b") == "https://codeload.github.com/lab/x/zip/0a1b"
    assert address("drive:abc") == "https://drive.google.com/uc?id=abc"
    assert address("drive:abc:0-k").endswith("?id=abc&export=download&confirm=t&resourcekey=0-k")
