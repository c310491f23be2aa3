"""Published datasets: where they are, how they are downloaded and put in place.

Every module of ``recipes`` has a ``RECIPE``, which adds a dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from imbalance_splits.discovery import sources
from imbalance_splits.errors import unknown_name
from ndcl_domainbed.downloading import recipes
from ndcl_domainbed.downloading.recipe import Recipe


@cache
def all_recipes() -> Mapping[str, Recipe]:
    """Return the recipe of each dataset, by its name."""
    modules = sources(recipes.__name__, "recipes", elsewhere=False)
    found: list[Recipe] = [source.load().RECIPE for source in modules]
    return {recipe.dataset: recipe for recipe in found}


def get_recipe(dataset: str) -> Recipe:
    """Return the recipe for ``dataset``; InputError with the nearest name if there is none."""
    if dataset not in all_recipes():
        raise unknown_name("dataset to download", dataset, sorted(all_recipes()))
    return all_recipes()[dataset]
