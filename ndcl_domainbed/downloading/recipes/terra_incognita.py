"""Terra Incognita: four of the camera traps of CCT-20, the Caltech Camera Traps benchmark."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ndcl_domainbed.downloading.archives import unpack
from ndcl_domainbed.downloading.recipe import GB, Recipe, RemoteFile, SourceFailure, Way

# LILA keeps the same paths on three clouds.
_CLOUDS = (
    "https://storage.googleapis.com/public-datasets-lila/caltechcameratraps",
    "https://lilawildlife.blob.core.windows.net/lila-wildlife/caltechcameratraps",
    "http://us-west-2.opendata.source.coop.s3.amazonaws.com/agentmorris/lila-wildlife/caltechcameratraps",
)


def _file(name: str, size: int, md5: str) -> RemoteFile:
    urls = tuple(f"{cloud}/{name}.tar.gz" for cloud in _CLOUDS)
    return RemoteFile(f"{name}.tar.gz", urls, f"md5:{md5}", size)


def arrange(recipe: Recipe, files: Sequence[Path], workspace: Path) -> Path:
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


RECIPE = Recipe(
    dataset="TerraIncognita",
    folder="terra_incognita",
    domains=("location_100", "location_38", "location_43", "location_46"),
    classes=(
        "bird", "bobcat", "cat", "coyote", "dog", "empty", "opossum", "rabbit", "raccoon",
        "squirrel",
    ),
    summary="camera traps at four places; 4 domains, 10 classes, about 24,330 images (6.5 GB)",
    paper=(
        "S. Beery, G. Van Horn, P. Perona. Recognition in Terra Incognita. ECCV 2018. "
        "arXiv 1807.04975"
    ),
    terms="Community Data License Agreement, permissive variant (CDLA-Permissive-1.0), by LILA BC.",
    largest=20 * GB,
    ways=(
        Way(
            (
                _file("eccv_18_all_images_sm", 6_492_615_601, "8143c17aa2a12872b66f284ff211531f"),
                _file("eccv_18_annotations", 2_997_071, "66a1f481b44aa1edadf75c9cfbd27aba"),
            ),
            arrange,
        ),
    ),
    note=(
        "papers before 2022 report 24,788 images; users report that "
        "the archives available today give 24,330"
    ),
)  # fmt: skip
