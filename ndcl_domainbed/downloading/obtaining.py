"""Brings a dataset into its place, which it reaches whole or not at all."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading.arranging import arrange_archives
from ndcl_domainbed.downloading.fetching import fetch
from ndcl_domainbed.downloading.recipe import Recipe, RemoteFile, SourceFailure, Way
from ndcl_domainbed.locks import locked

STAGING = ".download"  # the folder of the data directory in which downloads are prepared
LIBRARIES = ("gdown", "pyarrow", "requests", "tqdm")  # what the extra `download` installs


def is_there(recipe: Recipe, data_dir: Path) -> bool:
    """Whether something is in the dataset's place already; an empty folder is nothing."""
    place = data_dir / recipe.folder
    with suppress(OSError):
        return any(place.iterdir()) or place.is_symlink()
    return os.path.lexists(place)


def obtain(
    recipe: Recipe, data_dir: Path, *, force: bool = False, leave_out: Sequence[str] = ()
) -> Path:
    """Download the dataset, unpack it aside, and rename it into its place below ``data_dir``.

    What is there already is left alone, unless ``force`` is given: then it is replaced once the
    new one is ready. Addresses that contain a string of ``leave_out`` are not used. Downloaded
    files stay in ``data_dir/.download`` until the dataset is in its place, and are used the next
    time. Raises InputError if no way leads to the dataset (with every address and its failure), if
    a library is missing, if the disk does not take the dataset, or if another process is
    downloading it.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"downloading needs {', '.join(missing)}. "
            "Install with: pip install 'ndcl-domainbed[download]'"
        )
    place, staging = data_dir / recipe.folder, data_dir / STAGING / recipe.folder
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with locked(staging.with_name(f"{staging.name}.lock")):
            if force or not is_there(recipe, data_dir):
                ready = _try_ways(recipe, staging, leave_out)
                _put_in_place(ready, place, staging / "replaced")
                shutil.rmtree(staging)
    except BrokenPipeError:  # of the output, whose reader has gone
        raise
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot use {error.filename or data_dir}: {reason}.") from None
    return place


def _try_ways(recipe: Recipe, staging: Path, leave_out: Sequence[str]) -> Path:
    """Return the folder of the dataset, arranged, by the first way that succeeds."""
    failures: list[str] = []
    for way in recipe.ways:
        try:
            files = []
            for file in way.files() if callable(way.files) else way.files:
                urls = [url for url in file.urls if not any(text in url for text in leave_out)]
                files.append(replace(file, urls=tuple(urls)))
            if all(file.urls for file in files):
                return _take_way(way, files, recipe, staging)
        except SourceFailure as failure:
            failures += str(failure).splitlines()
    if not failures:
        raise InputError(f"--not_from leaves no address of {recipe.dataset}; leave out fewer.")
    kept = f", which uses what is kept in {staging}" if any(staging.iterdir()) else ""
    lines = [
        f"{recipe.dataset} could not be downloaded. Tried:",
        *(f"  {failure}" for failure in failures),
        f"Run the command again later{kept}, or put the images into "
        f"{staging.parents[1] / recipe.folder}/<domain>/<class>/ by hand.",
    ]
    raise InputError("\n".join(lines))


def _take_way(way: Way, files: Sequence[RemoteFile], recipe: Recipe, staging: Path) -> Path:
    """Download the files of a way and arrange the dataset in an empty folder.

    Useless files are not kept, unless a digest shows that they are the right ones.
    """
    fetched = {fetch(file, staging): file for file in files}
    if way.note is not None:
        print(f"note: {way.note}")
    workspace = staging / "workspace"
    _remove(workspace)
    workspace.mkdir()
    try:
        return (way.arrange or arrange_archives)(recipe, list(fetched), workspace)
    except SourceFailure as failure:
        _remove(workspace)
        for path, file in fetched.items():
            if file.digest is None:
                path.unlink()
        print(f"{files[0].name}: {failure}", flush=True)
        raise SourceFailure(f"{files[0].urls[0]}: {failure}") from None


def _put_in_place(ready: Path, place: Path, aside: Path) -> None:
    """Rename the dataset into its place, after putting aside what is there."""
    old = os.path.lexists(place)
    if old:
        _remove(aside)
        place.rename(aside)
    try:
        ready.rename(place)
    except OSError:
        if old:
            aside.rename(place)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    """Remove a folder with all that is in it, or a link or file; nothing if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
