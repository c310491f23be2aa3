"""Getting the published datasets: where they are, how they are fetched and put in place.

Every module of ``recipes`` that has a ``RECIPE`` adds a dataset.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.downloading import recipes
from ndcl_domainbed.downloading.recipe import Recipe


@cache
def all_recipes() -> Mapping[str, Recipe]:
    """Return the recipe of each dataset, by its name."""
    found: dict[str, Recipe] = {}
    for info in pkgutil.iter_modules(recipes.__path__):
        recipe = importlib.import_module(f"{recipes.__name__}.{info.name}").RECIPE
        if recipe.dataset in found:
            raise RuntimeError(f"two recipes are for {recipe.dataset}: rename one")
        found[recipe.dataset] = recipe
    return dict(sorted(found.items()))


def get_recipe(dataset: str, choices: Mapping[str, Recipe] | None = None) -> Recipe:
    """Return the recipe for ``dataset``; InputError with the nearest name if there is none."""
    choices = all_recipes() if choices is None else choices
    if dataset not in choices:
        raise unknown_name("dataset to download", dataset, choices)
    return choices[dataset]
