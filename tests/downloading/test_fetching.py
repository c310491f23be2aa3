from __future__ import annotations

import random

import pytest

from ndcl_domainbed.downloading.fetching import NotFetched, fetch
from ndcl_domainbed.downloading.recipe import RemoteFile
from tests.downloading.toys import HASTY, Listener, md5

BODY = random.Random(1).randbytes(300_000)


@pytest.fixture
def view():
    return Listener()


def test_the_first_address_that_gives_the_file_is_enough(host, tmp_path, view):
    urls = (f"{host.address}/gone", host.serve("/b", BODY), host.serve("/c", BODY))
    path = fetch(RemoteFile("x.zip", urls), tmp_path, view, HASTY)
    assert path == tmp_path / "x.zip"
    assert path.read_bytes() == BODY
    assert [name for name, _ in host.asked] == ["/gone", "/b"]
    assert list(tmp_path.iterdir()) == [path]
    here = host.address.removeprefix("http://")
    assert view.lines == [
        f"x.zip: fetching from {here}",
        f"x.zip: {here}: HTTP 404 Not Found",
        f"x.zip: fetching from {here}",
    ]


def test_what_is_here_is_not_fetched_again(host, tmp_path, view):
    file = RemoteFile("x.zip", (host.serve("/a", BODY),), md5(BODY), len(BODY))
    fetch(file, tmp_path, view, HASTY)
    host.asked.clear()
    fetch(file, tmp_path, view, HASTY)
    assert host.asked == []
    assert view.lines[-1] == "x.zip: here already"
    (tmp_path / "x.zip").write_bytes(BODY[:-1] + b"?")
    assert fetch(file, tmp_path, view, HASTY).read_bytes() == BODY


def test_a_mirror_goes_on_where_another_ended(host, tmp_path, view):
    broken = host.serve("/a", BODY, cuts=[100_000] + [0] * HASTY.fruitless, etag='"a"')
    mirror = host.serve("/b", BODY, etag='"b"')
    file = RemoteFile("x.zip", (broken, mirror), md5(BODY))
    assert fetch(file, tmp_path, view, HASTY).read_bytes() == BODY
    assert host.ranges("/b") == ["bytes=100000-"]
    assert view.lines[-1].endswith(", going on after 100.0 kB")


def test_a_wrong_file_sends_to_the_mirror(host, tmp_path, view):
    wrong, right = host.serve("/a", BODY[::-1]), host.serve("/b", BODY)
    file = RemoteFile("x.zip", (wrong, right), md5(BODY))
    assert fetch(file, tmp_path, view, HASTY).read_bytes() == BODY
    assert host.ranges("/a") == [None]
    assert host.ranges("/b") == [None]
    assert "gave a file whose md5 begins with " in view.lines[1]
    assert "x.zip: checking" in view.steps


def test_a_wrong_beginning_is_fetched_anew_from_the_same_address(host, tmp_path, view):
    (tmp_path / "x.zip.part").write_bytes(b"x" * 1000)
    file = RemoteFile("x.zip", (host.serve("/a", BODY),), md5(BODY))
    assert fetch(file, tmp_path, view, HASTY).read_bytes() == BODY
    assert host.ranges("/a") == ["bytes=1000-", None]


def test_a_page_shorter_than_what_is_kept_does_not_cost_it(host, tmp_path, view):
    (tmp_path / "x.zip.part").write_bytes(BODY[:1000])
    page = host.serve("/page", b"<html><title>Gone</title>", content_type="text/html")
    shorter = host.serve("/shorter", BODY[:500])
    file = RemoteFile("x.zip", (page, shorter), md5(BODY), len(BODY))
    with pytest.raises(NotFetched) as caught:
        fetch(file, tmp_path, view, HASTY)
    assert [reason for _, reason in caught.value.tried] == [
        'sent a web page and not the file: "Gone"',
        "has a file of 500 bytes and not of 300,000",
    ]
    assert (tmp_path / "x.zip.part").read_bytes() == BODY[:1000]


def test_every_failure_is_named_and_the_beginning_kept(host, tmp_path, view):
    urls = (
        f"{host.address}/gone",
        host.serve("/wrong", BODY[::-1]),
        host.serve("/cut", BODY, cuts=[100_000] + [0] * HASTY.fruitless),
        host.serve("/page", b"<html><title>Quota</title>", content_type="text/html"),
    )
    with pytest.raises(NotFetched) as caught:
        fetch(RemoteFile("x.zip", urls, md5(BODY)), tmp_path, view, HASTY)
    assert [url for url, _ in caught.value.tried] == list(urls)
    reasons = [reason for _, reason in caught.value.tried]
    assert reasons[0] == "HTTP 404 Not Found"
    assert reasons[1].startswith("gave a file whose md5 begins with")
    assert reasons[2] == "the connection ended after 100,000 of 300,000 bytes"
    assert reasons[3] == 'sent a web page and not the file: "Quota"'
    assert (tmp_path / "x.zip.part").read_bytes() == BODY[:100_000]
    assert not (tmp_path / "x.zip").exists()


def test_a_digest_is_compared_as_far_as_it_is_known(host, tmp_path, view):
    url = host.serve("/a", BODY)
    for cut in (32, 20):
        file = RemoteFile(f"{cut}.zip", (url,), md5(BODY)[: 4 + cut])
        if cut == 32:
            fetch(file, tmp_path, view, HASTY)
        else:
            with pytest.raises(ValueError, match="32 digits or more"):
                fetch(file, tmp_path, view, HASTY)
