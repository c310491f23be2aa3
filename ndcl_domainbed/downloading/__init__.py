"""Published datasets: where they are, how they are downloaded and put in place.

Every file ``recipes/NAME.yaml`` adds a dataset: the fields of
:class:`~ndcl_domainbed.downloading.recipe.Recipe`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.downloading.arranging import (
    OTHER_ORDER,
    arrange_camera_traps,
    arrange_parquet,
)
from ndcl_domainbed.downloading.fetching import describe_failure
from ndcl_domainbed.downloading.recipe import Recipe, RemoteFile, SourceFailure, Way

_ARRANGERS = {"parquet": arrange_parquet, "camera_traps": arrange_camera_traps}


@cache
def all_recipes() -> Mapping[str, Recipe]:
    """Return the recipe of each dataset, by its name."""
    paths = sorted((Path(__file__).parent / "recipes").glob("*.yaml"))
    recipes = [_build_recipe(**yaml.safe_load(path.read_text(encoding="utf-8"))) for path in paths]
    return {recipe.dataset: recipe for recipe in recipes}


def get_recipe(dataset: str) -> Recipe:
    """Return the recipe for ``dataset``; InputError with the nearest name if there is none."""
    if dataset not in all_recipes():
        raise unknown_name("dataset to download", dataset, sorted(all_recipes()))
    return all_recipes()[dataset]


def _build_recipe(ways: list[dict[str, Any]], **fields: Any) -> Recipe:
    fields |= {name: tuple(fields.get(name, ())) for name in ("domains", "classes")}
    return Recipe(ways=tuple(_build_way(**way) for way in ways), **fields)


def _build_way(
    files: Sequence[dict[str, Any]] = (),
    mirrors: Sequence[str] = (),
    parquet_of: str = "",
    arrange: str = "",
    **file: Any,
) -> Way:
    """Return a way: a file (``name``, ``urls``), ``files`` on mirrors, or what the Hub lists."""
    listed: Any = tuple(_build_file(mirrors, **one) for one in files or [file])
    if parquet_of:
        listed = partial(hub_parquet, parquet_of)
    return Way(listed, _ARRANGERS.get(arrange), OTHER_ORDER if arrange == "parquet" else None)


def _build_file(
    mirrors: Sequence[str], name: str = "", urls: Sequence[str] = (), path: str = "", **known: Any
) -> RemoteFile:
    every = [*map(address, urls), *(f"{mirror}/{path}" for mirror in mirrors)]
    return RemoteFile(name or PurePosixPath(path).name, tuple(every), **known)


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
    """Ask the Hub for the newest Parquet files of a dataset, with sizes and digests."""
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
