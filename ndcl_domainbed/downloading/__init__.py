"""Published datasets: where they are, how they are downloaded and put in place.

Every file ``recipes/NAME.yaml`` adds a dataset: the fields of
:class:`~ndcl_domainbed.downloading.recipe.Recipe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.downloading.addresses import address, hub_parquet
from ndcl_domainbed.downloading.camera_traps import arrange_camera_traps
from ndcl_domainbed.downloading.parquet import OTHER_ORDER, arrange_parquet
from ndcl_domainbed.downloading.recipe import Recipe, RemoteFile, Way

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
    names = {name: tuple(fields.pop(name, ())) for name in ("domains", "classes")}
    return Recipe(ways=tuple(_build_way(way) for way in ways), **names, **fields)


def _build_way(way: dict[str, Any]) -> Way:
    """Return a way: a file (``name``, ``urls``), several on ``mirrors``, or what the Hub lists."""
    files: Any = tuple(_build_file(way.get("mirrors", ()), **one) for one in way.get("files", ()))
    if "parquet_of" in way:
        files = partial(hub_parquet, way["parquet_of"])
    elif not files:
        files = (_build_file((), **{name: way[name] for name in way if name != "arrange"}),)
    kind = way.get("arrange")
    return Way(files, _ARRANGERS.get(kind), OTHER_ORDER if kind == "parquet" else None)


def _build_file(
    mirrors: list[str], name: str = "", urls: list[str] = (), path: str = "", **known: Any
) -> RemoteFile:
    urls = [*map(address, urls), *(f"{mirror}/{path}" for mirror in mirrors)]
    return RemoteFile(name or PurePosixPath(path).name, tuple(urls), **known)
