"""Predict the classes of images with the model of a run; write a CSV."""

from __future__ import annotations

import argparse
import contextlib
import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from imbalance_splits.errors import InputError
from imbalance_splits.image_tree import is_image, list_visible
from imbalance_splits.whole_files import whole_file
from ndcl_domainbed.progress import ProgressLine
from ndcl_domainbed.scripts.cli import new_parser, run

CHUNK = 256  # images that are read at once


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "predict",
        "Predict the classes of images with the model of a run. The CSV has a row per "
        "image: its path, the most probable class, and the probability of every class.",
    )
    add = parser.add_argument
    add("run", help="folder of a run, or one of its .pkl files")
    add("images", nargs="+", help="images, or folders of images")
    add("--output", metavar="CSV", help="write there (default: standard output)")
    add("--last", action="store_true", help="use the last step's model, not the selected step's")
    add("--device", help="such as cpu or cuda (default: CUDA where there is one, else the CPU)")
    return parser


def find_images(given: Iterable[str]) -> list[Path]:
    """Return the images named, or in folders that are, sorted. Raises InputError."""
    found: list[Path] = []
    for path in map(Path, given):
        if path.is_dir():
            try:
                below = sorted(_images_below(path))
            except OSError as error:
                raise InputError(f"cannot read {error.filename}: {error.strerror}.") from error
            if not below:
                raise InputError(f"{path} has no images in it.")
            found += below
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"there is no image or folder {path}.")
    return found


def _images_below(folder: Path) -> list[Path]:
    """Return the images in a folder and below it, but those that are hidden."""
    folders, files = list_visible(folder)
    found = [folder / name for name in files if is_image(name)]
    return found + [path for name in folders for path in _images_below(folder / name)]


@contextlib.contextmanager
def open_output(path: str | None) -> Iterator[TextIO]:
    """Yield a file that appears whole at ``path``; None is standard output. Raises InputError."""
    if path is None:
        yield sys.stdout
        return
    partial = Path(path)
    try:
        with (
            whole_file(partial) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            yield file
    except OSError as error:
        if error.filename not in (None, str(partial)):  # of an image, not of the output
            raise
        raise InputError(f"cannot write {path} ({error.strerror or error}).") from error


def main(argv: list[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    images = find_images(options.images)
    from ndcl_domainbed.training.saved_model import load_model  # torch: only now

    model = load_model(options.run, options.device, last=options.last)
    progress = ProgressLine("Prediction", file=sys.stderr)
    with open_output(options.output) as file:
        writer = csv.writer(file, lineterminator="\n")
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            labels, probabilities = model.predict(chunk)
            classes = model.classes or [str(k) for k in range(probabilities.shape[1])]
            if start == 0:
                writer.writerow(["image", "class", *classes])
            for path, label, row in zip(chunk, labels, probabilities.tolist(), strict=True):
                writer.writerow([path, classes[label], *(f"{p:.6f}" for p in row)])
            progress(start + len(chunk), len(images))
    return 0


if __name__ == "__main__":
    run(main)
