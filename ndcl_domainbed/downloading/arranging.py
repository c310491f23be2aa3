"""From downloaded archives to a folder that holds the domains' folders and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from imbalance_splits.errors import InputError
from imbalance_splits.image_tree import class_folders, is_image
from ndcl_domainbed.downloading.archives import unpack
from ndcl_domainbed.downloading.recipe import Recipe, SourceFailure

_MAX_DEPTH = 3  # how far down in an archive the domains' folders may lie


def arrange_archives(recipe: Recipe, files: Sequence[Path], workspace: Path) -> Path:
    """Unpack archives of image folders; the domains' folders may lie anywhere in them.

    Copies of a dataset differ in what lies around the domains and in how they spell names:
    only the domains' folders are taken, and domains and classes get their usual names. A folder
    between domain and class is left out (see :func:`~imbalance_splits.image_tree.class_folders`).
    Raises SourceFailure if a domain, or a class of one, is missing.
    """
    unpacked, arranged = workspace / "unpacked", workspace / "arranged"
    unpacked.mkdir()
    for archive in files:
        unpack(archive, unpacked, recipe.largest)
    domains = _find_domains(unpacked, recipe)
    try:
        layout = class_folders(domains)
    except InputError as error:
        raise SourceFailure(str(error).splitlines()[0]) from None
    for domain, classes in layout.items():
        (arranged / domain).mkdir(parents=True)
        for name, folder in _find_classes(classes, domain, recipe):
            folder.rename(arranged / domain / name)
    return arranged


def spelling(name: str) -> str:
    """Return what stays of a name when copies spell it differently.

    >>> spelling("Real World") == spelling("real_world") == spelling("RealWorld")
    True
    """
    return "".join(letter for letter in name.lower() if letter.isalnum())


def usual_names(recipe: Recipe) -> dict[str, str]:
    """Return the folder of a domain by each spelling under which a copy may have it."""
    names = {spelling(alias): domain for alias, domain in recipe.aliases.items()}
    return names | {spelling(domain): domain for domain in recipe.domains}


def _find_domains(root: Path, recipe: Recipe) -> dict[str, Path]:
    """Return domain -> folder from the topmost folder that has all the domains."""
    names = usual_names(recipe)
    level = [root]
    for _ in range(_MAX_DEPTH + 1):
        children = [[child for child in folder.iterdir() if child.is_dir()] for folder in level]
        for row in children:
            found = {names.get(spelling(child.name)): child for child in sorted(row)}
            if found.keys() >= set(recipe.domains):
                return {domain: found[domain] for domain in recipe.domains}
        level = [child for row in children for child in row]
    raise SourceFailure(f"has no folder with the domains {', '.join(recipe.domains)}")


def _find_classes(
    classes: Mapping[str, Path], domain: str, recipe: Recipe
) -> Iterator[tuple[str, Path]]:
    """Yield the usual name and the folder of every class of a domain that has images."""
    usual = {spelling(name): name for name in recipe.class_names()}
    found = {
        usual.get(spelling(name), name): folder
        for name, folder in classes.items()
        if any(is_image(path.name) for path in folder.rglob("*"))
    }
    missing = [name for name in usual.values() if name not in found]
    if missing:
        names = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise SourceFailure(f"has no images of the class {names} in {domain}")
    yield from found.items()
