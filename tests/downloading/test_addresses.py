from __future__ import annotations

import json

import pytest

from ndcl_domainbed.downloading.addresses import google_drive, hub_file, hub_parquet
from ndcl_domainbed.downloading.connection import SourceFailure
from ndcl_domainbed.downloading.recipe import RemoteFile


@pytest.fixture
def hub(host, monkeypatch):
    """A host that stands for the Hugging Face Hub."""
    monkeypatch.setenv("HF_ENDPOINT", f"{host.address}/")
    return host


def answer(*files):
    siblings = [{"rfilename": name, "size": 1, "blobId": "x"} | lfs for name, lfs in files]
    return json.dumps({"id": "lab/pictures", "sha": "0a1b", "siblings": siblings}).encode()


LISTING = "/api/datasets/lab/pictures/revision/main?blobs=true"


def test_the_parquet_files_of_a_repository_are_listed_with_what_proves_them(hub):
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
        (b"<html>", "not the expected list"),
        (b"[]", "not the expected list"),
        (b'{"sha": "1", "siblings": [{"rfilename": "a.parquet"}]}', "not the expected list"),
        (b'{"sha": "1", "siblings": [{"rfilename": "a.csv"}]}', "no Parquet file"),
    ],
)
def test_an_unexpected_answer_is_a_failure_of_the_host(hub, body, reason):
    hub.serve(LISTING, body)
    with pytest.raises(SourceFailure, match=reason):
        hub_parquet("lab/pictures")


@pytest.mark.parametrize("status", [404, 503])
def test_no_answer_is_a_failure_of_the_host(hub, status):
    hub.serve(LISTING, b"", statuses=[status])
    with pytest.raises(SourceFailure, match=f"HTTP {status}"):
        hub_parquet("lab/pictures")


def test_the_forms_of_addresses(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert hub_file("lab/x", "main", "a/b.zip") == (
        "https://huggingface.co/datasets/lab/x/resolve/main/a/b.zip"
    )
    assert google_drive("abc").endswith("/download?id=abc&export=download&confirm=t")
    assert google_drive("abc", "0-k").endswith("&confirm=t&resourcekey=0-k")
