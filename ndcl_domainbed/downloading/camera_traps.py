"""Terra Incognita: four of the camera traps of CCT-20, the Caltech Camera Traps benchmark."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ndcl_domainbed.downloading.archives import unpack
from ndcl_domainbed.downloading.recipe import Recipe, SourceFailure


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
