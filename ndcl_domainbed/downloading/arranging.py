"""From downloaded files to a folder that holds the domains' folders and nothing else."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from imbalance_splits.errors import InputError
from imbalance_splits.image_tree import class_folders, is_image
from ndcl_domainbed.downloading.archives import unpack
from ndcl_domainbed.downloading.progress import show_progress
from ndcl_domainbed.downloading.recipe import Recipe, SourceFailure

_MAX_DEPTH = 3  # how far down in an archive the domains' folders may lie

OTHER_ORDER = (
    "this copy may name and order the images differently from DomainBed's; the same seeds then "
    "split other images"
)
"""What a user should know about a dataset that comes from Parquet files."""

_COLUMNS = ["image", "domain", "label"]
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"BM": ".bmp", b"II*\0": ".tif"}


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


def arrange_parquet(recipe: Recipe, files: Sequence[Path], workspace: Path) -> Path:
    """Write each row's image, byte for byte, into the folder of its domain and class.

    The columns are ``image`` (bytes and path), ``domain`` and ``label``, a class's number; the
    classes' names are in the files' metadata. An image keeps its file name unless that is missing
    or taken; then it is named by its row. Raises SourceFailure if the files are different, or name
    a domain or class that the dataset does not have.
    """
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    arranged = workspace / "arranged"
    domains = usual_names(recipe)
    usual = {spelling(name): name for name in recipe.class_names()}
    try:
        tables = [parquet.ParquetFile(path) for path in files]
        total = sum(table.metadata.num_rows for table in tables)
        with show_progress("writing images", "images") as report:
            for done, (row, label) in enumerate(_rows(tables)):
                folder = arranged / domains[spelling(row["domain"])] / usual[spelling(label)]
                folder.mkdir(parents=True, exist_ok=True)
                _write_image(row["image"], folder, done)
                report(done + 1, total)
    except (arrow.ArrowException, LookupError, ValueError, TypeError, AttributeError) as error:
        raise SourceFailure(f"is not the expected Parquet file ({error})") from None
    missing = [name for name in recipe.domains if not (arranged / name).is_dir()]
    if missing:
        raise SourceFailure(f"has no images of the domain {missing[0]}")
    return arranged


def _rows(tables: Sequence[Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every row and the name of its class."""
    for table in tables:
        metadata = json.loads(table.schema_arrow.metadata[b"huggingface"])
        names = metadata["info"]["features"]["label"]["names"]
        for batch in table.iter_batches(batch_size=64, columns=_COLUMNS):
            for row in batch.to_pylist():
                if row["label"] < 0:  # how the Hub marks a missing label
                    raise LookupError("a row has no label")
                yield row, names[row["label"]]


def _write_image(image: Mapping[str, Any], folder: Path, number: int) -> None:
    content: bytes = image["bytes"]
    name = PurePosixPath((image.get("path") or "").replace("\\", "/")).name
    if not is_image(name) or (folder / name).exists():
        suffix = next((s for start, s in _SUFFIXES.items() if content.startswith(start)), ".jpg")
        name = f"row_{number:06d}{suffix}"
    (folder / name).write_bytes(content)


def arrange_camera_traps(recipe: Recipe, files: Sequence[Path], workspace: Path) -> Path:
    """Sort the images of the four places by the animal that the annotations see in them.

    ``files`` are the archives of the images and of the annotations. An image with two animals
    of the ten classes goes to both folders, as in DomainBed. Raises SourceFailure if the archives
    do not fit each other.
    """
    images, annotations = files
    unpacked, arranged = workspace / "unpacked", workspace / "arranged"
    unpacked.mkdir()
    unpack(annotations, unpacked, recipe.largest)
    folders_of = _class_folders(unpacked, recipe)
    unpack(images, unpacked, recipe.largest)
    paths = {path.name: path for path in unpacked.rglob("*") if path.name in folders_of}
    if len(paths) < len(folders_of):
        missing = len(folders_of) - len(paths)
        raise SourceFailure(f"{images.name} lacks {missing} of the annotated images")
    for name, folders in folders_of.items():
        for folder in sorted(folders):
            (arranged / folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(paths[name], arranged / folder / name)
        paths[name].unlink()
    return arranged


def _class_folders(folder: Path, recipe: Recipe) -> dict[str, set[str]]:
    """Return file name -> ``domain/class`` for the images of the places and classes in use."""
    folders_of: dict[str, set[str]] = {}
    try:
        for path in sorted(folder.rglob("*.json")):
            table = json.loads(path.read_text(encoding="utf-8"))
            animals = {item["id"]: item["name"] for item in table["categories"]}
            images = {item["id"]: item for item in table["images"]}
            for item in table["annotations"]:
                image = images[item["image_id"]]
                domain, animal = f"location_{image['location']}", animals[item["category_id"]]
                if domain in recipe.domains and animal in recipe.classes:
                    name = PurePosixPath(image["file_name"]).name
                    folders_of.setdefault(name, set()).add(f"{domain}/{animal}")
    except (ValueError, LookupError, TypeError) as error:
        raise SourceFailure(f"has annotations of another form ({error})") from None
    found = {folder.partition("/")[0] for folders in folders_of.values() for folder in folders}
    if found != set(recipe.domains):
        raise SourceFailure(f"has annotated images of {len(found)} of {len(recipe.domains)} places")
    return folders_of
