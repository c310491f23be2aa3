"""Addresses at hosts that many files come from: Google Drive, GitHub, the Hugging Face Hub."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import PurePosixPath

from ndcl_domainbed.downloading.connection import Interruption, SourceFailure, connect, reading
from ndcl_domainbed.downloading.recipe import RemoteFile

_TIMEOUT = 60.0


def google_drive(identity: str, resource_key: str | None = None) -> str:
    """Return the address of a public file; links from before 2021 need their resource key."""
    key = f"&resourcekey={resource_key}" if resource_key else ""
    return (
        "https://drive.usercontent.google.com/download"
        f"?id={identity}&export=download&confirm=t{key}"
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


def hub_parquet(repository: str) -> tuple[RemoteFile, ...]:
    """Ask the Hub for the Parquet files of a dataset, with their sizes and SHA-256 digests.

    They are those of its newest version, whose commit is in their addresses. Raises SourceFailure
    if the Hub does not answer or has none.
    """
    url = f"{hub()}/api/datasets/{repository}/revision/main?blobs=true"
    try:
        with closing(connect(url, {}, _TIMEOUT)) as response, reading():
            answer = json.loads(response.read())
        revision = answer["sha"]
        found = [item for item in answer["siblings"] if item["rfilename"].endswith(".parquet")]
        files = tuple(
            RemoteFile(
                name=PurePosixPath(item["rfilename"]).name,
                urls=(hub_file(repository, revision, item["rfilename"]),),
                digest=f"sha256:{item['lfs']['sha256']}",
                size=item["lfs"]["size"],
            )
            for item in found
        )
    except Interruption as interruption:
        raise SourceFailure(f"{url}: {interruption}") from None
    except (ValueError, LookupError, TypeError):
        raise SourceFailure(f"{url}: the answer is not the expected list of files") from None
    if not files:
        raise SourceFailure(f"{url}: lists no Parquet file")
    return files
