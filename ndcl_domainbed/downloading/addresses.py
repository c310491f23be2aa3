"""Addresses at hosts that many files come from: Google Drive, GitHub, the Hugging Face Hub."""

from __future__ import annotations

import importlib
import os
from pathlib import PurePosixPath

from ndcl_domainbed.downloading.fetching import describe_failure
from ndcl_domainbed.downloading.recipe import RemoteFile, SourceFailure


def address(text: str) -> str:
    """Return the address of a file that a recipe names.

    ``drive:ID`` is a public file of Google Drive (``drive:ID:KEY`` with the resource key that links
    from before 2021 need), ``github:OWNER/NAME@COMMIT`` the zip archive of a repository,
    ``hub:OWNER/NAME@REVISION/PATH`` a file of a dataset on the Hugging Face Hub. Others stay.
    """
    kind, _, rest = text.partition(":")
    name, _, end = rest.partition(":" if kind == "drive" else "@")
    if kind == "drive" and end:  # gdown drops the key of an address at drive.google.com
        return (
            "https://drive.usercontent.google.com/download"
            f"?id={name}&export=download&confirm=t&resourcekey={end}"
        )
    if kind == "drive":
        return f"https://drive.google.com/uc?id={name}"
    if kind == "github":
        return f"https://codeload.github.com/{name}/zip/{end}"
    return hub_file(name, end) if kind == "hub" else text


def hub() -> str:
    """Return the Hugging Face Hub, or the mirror of it that ``HF_ENDPOINT`` names."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def hub_file(repository: str, place: str) -> str:
    """Return the address of a file of a dataset on the Hub; ``place`` is REVISION/PATH."""
    return f"{hub()}/datasets/{repository}/resolve/{place}"


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
                (hub_file(repository, f"{listing['sha']}/{file['rfilename']}"),),
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
