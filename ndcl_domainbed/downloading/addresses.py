"""Addresses at hosts that many files come from: Google Drive, GitHub, the Hugging Face Hub."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import PurePosixPath
from typing import NamedTuple

from ndcl_domainbed.downloading.errors import SourceFailure
from ndcl_domainbed.downloading.recipe import RemoteFile

_HUB_FILE = re.compile(r"(https?://.+?)/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class HubFile(NamedTuple):
    """A file of a dataset on a Hugging Face Hub."""

    hub: str
    repository: str
    revision: str
    path: str


def google_drive(identity: str, resource_key: str | None = None) -> str:
    """Return the address of a public file; links from before 2021 need their resource key."""
    if resource_key is None:
        return f"https://drive.google.com/uc?id={identity}"
    return (  # gdown drops the key of an address at drive.google.com
        "https://drive.usercontent.google.com/download"
        f"?id={identity}&export=download&confirm=t&resourcekey={resource_key}"
    )


def github_zip(repository: str, commit: str) -> str:
    """Return the address of a zip archive of ``repository`` (owner/name) at ``commit``."""
    return f"https://codeload.github.com/{repository}/zip/{commit}"


def hub() -> str:
    """Return the Hugging Face Hub, or the mirror of it that ``HF_ENDPOINT`` names."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def hub_file(repository: str, revision: str, path: str) -> str:
    """Return the address of a file of a dataset on the Hub."""
    return f"{hub()}/datasets/{repository}/resolve/{revision}/{path}"


def parse_hub_file(url: str) -> HubFile | None:
    """Return the parts of an address that :func:`hub_file` made; None for any other."""
    match = _HUB_FILE.fullmatch(url)
    return HubFile(*match.groups()) if match else None


def hub_parquet(repository: str) -> tuple[RemoteFile, ...]:
    """Ask the Hub for the Parquet files of a dataset, with their sizes and SHA-256 digests.

    They are those of its newest version, whose commit is in their addresses. Raises SourceFailure
    if the Hub does not answer or has none.
    """
    api = importlib.import_module("huggingface_hub").HfApi(endpoint=hub())
    try:
        info = api.dataset_info(repository, files_metadata=True, timeout=60.0)
        files = tuple(
            RemoteFile(
                name=PurePosixPath(file.rfilename).name,
                urls=(hub_file(repository, info.sha, file.rfilename),),
                digest=f"sha256:{file.lfs.sha256}",
                size=file.lfs.size,
            )
            for file in info.siblings
            if file.rfilename.endswith(".parquet")
        )
    except Exception as error:
        raise SourceFailure(f"{hub()}/datasets/{repository}: {first_line(error)}") from None
    if not files:
        raise SourceFailure(f"{hub()}/datasets/{repository}: lists no Parquet file")
    return files


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
