"""Image folders from the Parquet files in which the Hugging Face Hub keeps image datasets."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from imbalance_splits.image_tree import is_image
from ndcl_domainbed.downloading.arranging import spelling, usual_names
from ndcl_domainbed.downloading.progress import show_progress
from ndcl_domainbed.downloading.recipe import Recipe, SourceFailure

OTHER_ORDER = (
    "this copy may name and order the images differently from DomainBed's; the same seeds then "
    "split other images"
)
"""What a user should know about a dataset that comes from Parquet files."""

_COLUMNS = ["image", "domain", "label"]
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"BM": ".bmp", b"II*\0": ".tif"}


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
