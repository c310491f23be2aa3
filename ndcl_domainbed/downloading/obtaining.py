"""Brings a dataset from the hosts into its place, which it reaches whole or not at all."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading.downloaders import Patience
from ndcl_domainbed.downloading.errors import (
    BadArchive,
    SourceFailure,
    disk_errors_as_input_errors,
)
from ndcl_domainbed.downloading.fetching import NotFetched, Tried, fetch
from ndcl_domainbed.downloading.recipe import Recipe, RemoteFile, Way
from ndcl_domainbed.downloading.view import View

STAGING = ".download"
"""The folder of the data directory in which downloads are prepared."""

LIBRARIES = ("gdown", "huggingface_hub", "pyarrow")
"""What the extra ``download`` installs."""


def is_there(recipe: Recipe, data_dir: Path) -> bool:
    """Whether something is in the dataset's place already; an empty folder is nothing."""
    place = data_dir / recipe.folder
    if place.is_dir() and not place.is_symlink():
        return any(place.iterdir())
    return os.path.lexists(place)


def obtain(
    recipe: Recipe,
    data_dir: Path,
    view: View,
    *,
    force: bool = False,
    leave_out: Sequence[str] = (),
    patience: Patience | None = None,
) -> Path:
    """Fetch the dataset, unpack it aside, and rename it into its place below ``data_dir``.

    What is there already is left alone, unless ``force`` is given: then it is replaced once the
    new one is ready. Addresses that contain a string of ``leave_out`` are not used. Fetched files
    and parts of them stay in ``data_dir/.download`` until the dataset is in its place, and are
    used the next time. Raises InputError if no way leads to the dataset (with every address and
    its failure), if a library is missing, if the disk does not take the dataset, or if another
    process downloads it.
    """
    _check_libraries()
    place = data_dir / recipe.folder
    staging = data_dir / STAGING / recipe.folder
    with disk_errors_as_input_errors(data_dir):
        staging.mkdir(parents=True, exist_ok=True)
    with _lock_download(staging, recipe, data_dir), disk_errors_as_input_errors(data_dir):
        if is_there(recipe, data_dir) and not force:
            return place
        ready = _try_ways(recipe, staging, view, leave_out, patience or Patience())
        _put_in_place(ready, place, staging / "replaced")
        _remove_staging(staging)
    return place


def _remove_staging(staging: Path) -> None:
    """Remove what a finished download no longer needs."""
    shutil.rmtree(staging)


def _check_libraries() -> None:
    """Raise InputError if a library of the extra is missing."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"downloading needs {', '.join(missing)}. "
            "Install with: pip install 'ndcl-domainbed[download]'"
        )


@contextmanager
def _lock_download(staging: Path, recipe: Recipe, data_dir: Path) -> Iterator[None]:
    """Keep other processes from this download. Raises InputError if one is at work."""
    lock = FileLock(f"{staging}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"another download of {recipe.dataset} into {data_dir} runs.") from None
    try:
        yield
    finally:
        lock.release()


def _try_ways(
    recipe: Recipe, staging: Path, view: View, leave_out: Sequence[str], patience: Patience
) -> Path:
    """Return the folder of the dataset, arranged, by the first way that succeeds."""
    tried: list[Tried] = []
    for way in recipe.ways:
        try:
            files = _wanted_files(way, leave_out)
            if files is None:
                continue
            fetched = {fetch(file, staging, view, patience): file for file in files}
            if way.note is not None:
                view.say(f"note: {way.note}")
            return _arrange(way, recipe, fetched, staging, view)
        except NotFetched as failure:
            tried += failure.tried
        except SourceFailure as failure:
            tried.append(Tried("list of files", str(failure)))
    if not tried:
        raise InputError(f"--not_from leaves no address of {recipe.dataset}; leave out fewer.")
    raise _list_failures(recipe, staging, tried)


def _wanted_files(way: Way, leave_out: Sequence[str]) -> list[RemoteFile] | None:
    """Return the files of a way without unwanted addresses; None if that leaves a file none."""
    files = way.files() if callable(way.files) else way.files
    kept = [
        replace(file, urls=tuple(u for u in file.urls if not any(t in u for t in leave_out)))
        for file in files
    ]
    return kept if all(file.urls for file in kept) else None


def _arrange(
    way: Way, recipe: Recipe, fetched: Mapping[Path, RemoteFile], staging: Path, view: View
) -> Path:
    """Arrange the dataset in an empty folder.

    Raises NotFetched for a file that is no good. It is not kept, unless its digest shows that it
    is the one that was meant: then fetching it again would not help.
    """
    workspace = staging / "workspace"
    _remove(workspace)
    workspace.mkdir()
    try:
        return way.arrange(recipe, list(fetched), workspace, view)
    except BadArchive as failure:
        named = failure.archive
        suspects = [named] if named is not None and named in fetched else list(fetched)
        for path in suspects:
            if fetched[path].digest is None:
                path.unlink()
        view.say(f"{suspects[0].name}: {failure}")
        raise NotFetched([Tried(fetched[suspects[0]].urls[0], str(failure))]) from None


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


def _list_failures(recipe: Recipe, staging: Path, tried: Sequence[Tried]) -> InputError:
    """Return the error that lists all that was tried."""
    lines = [f"{recipe.dataset} could not be downloaded. Tried:"]
    lines += [f"  {what}: {reason}" for what, reason in tried]
    kept = f", which uses what is kept in {staging}" if any(staging.iterdir()) else ""
    lines.append(
        f"Run the command again later{kept}, or put the images into "
        f"{staging.parents[1] / recipe.folder}/<domain>/<class>/ by hand."
    )
    return InputError("\n".join(lines))
