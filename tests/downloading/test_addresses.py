from __future__ import annotations

import json

import pytest

from ndcl_domainbed.downloading.addresses import (
    google_drive,
    hub_file,
    hub_parquet,
    parse_hub_file,
)
from ndcl_domainbed.downloading.errors import SourceFailure
from ndcl_domainbed.downloading.recipe import RemoteFile


@pytest.fixture
def hub(host, monkeypatch):
    """A host that stands for the Hugging Face Hub."""
    monkeypatch.setenv("HF_ENDPOINT", f"{host.address}/")
    return host


def answer(*files):
    siblings = [{"rfilename": name, "size": 1, "blobId": "x"} | lfs for name, lfs in files]
    return json.dumps({"id": "lab/pictures", "sha": "0a1b", "siblings": siblings}).encode()


LISTING = "/api/datasets/lab/pictures?blobs=true"


def test_the_parquet_files_of_a_repository_are_listed_with_size_and_digest(hub):
    lfs = {"lfs": {"sha256": "ab" * 32, "size": 70, "pointerSize": 130}}
    body = answer(("README.md", {}), ("data/train-0.parquet", lfs), ("data/train-1.parquet", lfs))
    hub.serve(LISTING, body, content_type="application/json")
    assert hub_parquet("lab/pictures") == tuple(
        RemoteFile(
            name=f"train-{i}.parquet",
            urls=(f"{hub.address}/datasets/lab/pictures/resolve/0a1b/data/train-{i}.parquet",),
            digest="sha256:" + "ab" * 32,
            size=70,
        )
        for i in range(2)
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", ""),
        (answer(("a.parquet", {})), "sha256"),
        (answer(("a.csv", {})), "no Parquet file"),
    ],
)
def test_an_unexpected_answer_is_a_failure_of_the_host(hub, body, reason):
    hub.serve(LISTING, body, content_type="application/json")
    with pytest.raises(SourceFailure, match=f"{hub.address}/datasets/lab/pictures: .*{reason}"):
        hub_parquet("lab/pictures")


def test_no_answer_is_a_failure_of_the_host(hub):
    with pytest.raises(SourceFailure, match="404"):
        hub_parquet("lab/pictures")


def test_the_forms_of_addresses(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    url = hub_file("lab/x", "main", "a/b.zip")
    assert url == "https://huggingface.co/datasets/lab/x/resolve/main/a/b.zip"
    assert parse_hub_file(url) == ("https://huggingface.co", "lab/x", "main", "a/b.zip")
    assert google_drive("abc") == "https://drive.google.com/uc?id=abc"
    assert google_drive("abc", "0-k").endswith("?id=abc&export=download&confirm=t&resourcekey=0-k")
    assert parse_hub_file(google_drive("abc")) is None
