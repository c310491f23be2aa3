"""From fetched files to a folder that holds the domains' folders and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from imbalance_splits.errors import InputError
from imbalance_splits.image_tree import class_folders, is_image
from ndcl_domainbed.downloading.archives import unpack
from ndcl_domainbed.downloading.errors import BadArchive, disk_errors_as_input_errors
from ndcl_domainbed.downloading.recipe import Recipe
from ndcl_domainbed.downloading.view import View

_DEEPEST = 3  # how far down in an archive the domains' folders may lie


def from_archives(recipe: Recipe, files: Sequence[Path], staging: Path, view: View) -> Path:
    """Unpack archives of image folders; the domains' folders may lie anywhere in them.

    Copies of a dataset differ in what lies around the domains and in how they spell names:
    only the domains' folders are taken, and domains and classes get their usual names. A folder
    between domain and class is left out (see :func:`~imbalance_splits.layout.class_folders`).
    Raises BadArchive if a domain, or a class of one, is missing.
    """
    unpacked, arranged = staging / "unpacked", staging / "arranged"
    with disk_errors_as_input_errors(staging):
        unpacked.mkdir()
        arranged.mkdir()
    for archive in files:
        with view.progress(f"{archive.name}: unpacking") as report:
            unpack(archive, unpacked, report, largest=recipe.largest)
    found = _domains_below(unpacked, recipe)
    with disk_errors_as_input_errors(arranged):
        try:
            layout = class_folders(found)
        except InputError as error:
            raise BadArchive(str(error).splitlines()[0]) from None
        for domain, classes in layout.items():
            (arranged / domain).mkdir()
            for name, folder in _class_folders(classes, domain, recipe):
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


def _domains_below(root: Path, recipe: Recipe) -> dict[str, Path]:
    """Return domain -> folder from the topmost folder that has all the domains."""
    names = usual_names(recipe)
    level = [root]
    for _ in range(_DEEPEST + 1):
        for folder in level:
            found = {
                names[spelling(child.name)]: child
                for child in sorted(_folders(folder))
                if spelling(child.name) in names
            }
            if len(found) == len(recipe.domains):
                return {domain: found[domain] for domain in recipe.domains}
        level = [child for folder in level for child in _folders(folder)]
    raise BadArchive(f"has no folder with the domains {', '.join(recipe.domains)}")


def _class_folders(
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
    if missing or not found:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise BadArchive(f"has no images of the class {some or 'of any name'} in {domain}")
    yield from found.items()


def _folders(folder: Path) -> list[Path]:
    return [child for child in folder.iterdir() if child.is_dir()]
