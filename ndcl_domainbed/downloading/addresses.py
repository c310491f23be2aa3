"""Addresses at hosts that many files come from: Google Drive, GitHub, the Hugging Face Hub."""

from __future__ import annotations

import importlib
import os
from pathlib import PurePosixPath

from ndcl_domainbed.downloading.fetching import describe_failure
from ndcl_domainbed.downloading.recipe import RemoteFile, SourceFailure


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


def hub_parquet(repository: str) -> tuple[RemoteFile, ...]:
    """Ask the Hub for the Parquet files of a dataset, with their sizes and SHA-256 digests.

    They are those of its newest version. Raises SourceFailure if the Hub does not list any.
    """
    requests = importlib.import_module("requests")
    try:
        answer = requests.get(
            f"{hub()}/api/datasets/{repository}", params={"blobs": "true"}, timeout=60
        )
        answer.raise_for_status()
        listing = answer.json()
        files = tuple(
            RemoteFile(
                PurePosixPath(file["rfilename"]).name,
                (hub_file(repository, listing["sha"], file["rfilename"]),),
                digest=f"sha256:{file['lfs']['sha256']}",
                size=file["lfs"]["size"],
            )
            for file in listing["siblings"]
            if file["rfilename"].endswith(".parquet")
        )
    except (requests.exceptions.RequestException, LookupError, TypeError) as error:
        raise SourceFailure(f"{hub()}/datasets/{repository}: {describe_failure(error)}") from None
    if not files:
        raise SourceFailure(f"{hub()}/datasets/{repository}: lists no Parquet file")
    return files
