"""Image folders from the Parquet files in which the Hugging Face Hub keeps image datasets."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from imbalance_splits.image_tree import is_image
from ndcl_domainbed.downloading.arranging import spelling, usual_names
from ndcl_domainbed.downloading.errors import BadArchive, disk_errors_as_input_errors
from ndcl_domainbed.downloading.recipe import Recipe
from ndcl_domainbed.downloading.view import View

OTHER_ORDER = (
    "this copy may name and order the images otherwise than DomainBed's, so that the same seeds "
    "split other images"
)
"""What a user should know of a dataset that comes from Parquet files."""

_COLUMNS = ["image", "domain", "label"]
_BATCH = 64
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"BM": ".bmp", b"II*\0": ".tif"}


def from_parquet(recipe: Recipe, files: Sequence[Path], staging: Path, view: View) -> Path:
    """Write each row's image, byte by byte as it is, into the folder of its domain and class.

    The columns are ``image`` (bytes and path), ``domain`` and ``label``, a class's number; the
    classes' names stand in the files' metadata. An image keeps its file name if all of its
    folder have one, else it is named by its row. Raises BadArchive if the files are otherwise,
    or name a domain or class that the dataset does not have.
    """
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    arranged = staging / "arranged"
    try:
        tables = [parquet.ParquetFile(path) for path in files]
        total = sum(table.metadata.num_rows for table in tables)
        with view.progress("writing images", "images") as report:
            done = 0
            for table in tables:
                folders = _Folders(recipe, arranged, _class_names(table))
                for row in _rows(table):
                    _write(row, folders.of(row), done)
                    done += 1
                    report(done, total)
    except (arrow.ArrowException, LookupError, ValueError, TypeError, AttributeError) as error:
        raise BadArchive(f"is not the expected Parquet file ({error})") from None
    missing = [name for name in recipe.domains if not (arranged / name).is_dir()]
    if missing:
        raise BadArchive(f"has no images of the domain {missing[0]}")
    return arranged


class _Folders:
    """Finds, and makes, the folder that a row's image belongs to."""

    def __init__(self, recipe: Recipe, root: Path, labels: Sequence[str]) -> None:
        self._root, self._labels = root, labels
        self._domains = usual_names(recipe)
        self._classes = {spelling(name): name for name in recipe.class_names()}

    def of(self, row: Mapping[str, Any]) -> Path:
        """Return the folder; LookupError for a domain or class that the dataset does not have."""
        if row["label"] < 0:  # how the Hub marks a missing label
            raise LookupError("a row has no label")
        domain = self._domains[spelling(row["domain"])]
        folder = self._root / domain / self._classes[spelling(self._labels[row["label"]])]
        with disk_errors_as_input_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder


def _class_names(table: Any) -> list[str]:
    """Return the names of the classes, by number, from the metadata."""
    metadata = json.loads(table.schema_arrow.metadata[b"huggingface"])
    names: list[str] = metadata["info"]["features"]["label"]["names"]
    return names


def _rows(table: Any) -> Iterator[dict[str, Any]]:
    for batch in table.iter_batches(batch_size=_BATCH, columns=_COLUMNS):
        yield from batch.to_pylist()


def _write(row: Mapping[str, Any], folder: Path, number: int) -> None:
    """Write an image under its own name, or by its number if that is missing or taken."""
    content: bytes = row["image"]["bytes"]
    name = PurePosixPath((row["image"].get("path") or "").replace("\\", "/")).name
    if not is_image(name) or name.startswith(".") or (folder / name).exists():
        suffix = next((s for start, s in _SUFFIXES.items() if content.startswith(start)), ".jpg")
        name = f"row_{number:06d}{suffix}"
    with disk_errors_as_input_errors(folder):
        (folder / name).write_bytes(content)
