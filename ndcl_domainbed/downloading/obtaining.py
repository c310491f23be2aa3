"""A dataset from the hosts into its place, which it reaches whole or not at all."""

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
from ndcl_domainbed.downloading.archives import BadArchive
from ndcl_domainbed.downloading.connection import SourceFailure
from ndcl_domainbed.downloading.fetching import NotFetched, Tried, fetch
from ndcl_domainbed.downloading.part import local_files
from ndcl_domainbed.downloading.recipe import Recipe, RemoteFile, Way
from ndcl_domainbed.downloading.transfer import Patience
from ndcl_domainbed.downloading.view import View

STAGING = ".download"
"""The folder of the data directory in which downloads are made ready."""

EXTRA = "pip install 'ndcl-domainbed[download]'"


def is_there(recipe: Recipe, data_dir: Path) -> bool:
    """Say whether something has the dataset's place already; an empty folder has not."""
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
    new one is ready. Addresses that contain a text of ``leave_out`` are not used. Fetched files
    and parts of them stay in ``data_dir/.download`` until the dataset is in its place, and are
    gone on with the next time. Raises InputError if no way leads to the dataset (with every
    address and its failure), if the disk does not take it, or if another process is at it.
    """
    place = data_dir / recipe.folder
    staging = data_dir / STAGING / recipe.folder
    with local_files(data_dir):
        staging.mkdir(parents=True, exist_ok=True)
    with _alone(staging, recipe, data_dir), local_files(data_dir):
        if is_there(recipe, data_dir) and not force:
            return place
        ready = _by_any_way(recipe, staging, view, leave_out, patience or Patience())
        _put_in_place(ready, place, staging / "replaced")
        shutil.rmtree(staging)
    return place


@contextmanager
def _alone(staging: Path, recipe: Recipe, data_dir: Path) -> Iterator[None]:
    """Keep other processes off this download."""
    lock = FileLock(f"{staging}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"another download of {recipe.dataset} into {data_dir} runs.") from None
    try:
        yield
    finally:
        lock.release()


def _by_any_way(
    recipe: Recipe, staging: Path, view: View, leave_out: Sequence[str], patience: Patience
) -> Path:
    """Return the arranged dataset of the first way that succeeds."""
    tried: list[Tried] = []
    for way in recipe.ways:
        if way.needs is not None and importlib.util.find_spec(way.needs) is None:
            tried.append(Tried("a further copy", f"needs {way.needs}: {EXTRA}"))
            continue
        try:
            files = _files_of(way, leave_out)
            if files is None:
                continue
            fetched = {fetch(file, staging, view, patience): file for file in files}
            if way.note is not None:
                view.say(f"note: {way.note}")
            return _arranged(way, recipe, fetched, staging, view)
        except NotFetched as failure:
            tried += failure.tried
        except SourceFailure as failure:
            tried.append(Tried("list of files", str(failure)))
    if not tried:
        raise InputError(f"--not_from leaves no address of {recipe.dataset}; leave out fewer.")
    raise _nothing_helped(recipe, staging, tried)


def _files_of(way: Way, leave_out: Sequence[str]) -> list[RemoteFile] | None:
    """Return the files of a way without unwanted addresses; None if that leaves a file none."""
    files = way.files() if callable(way.files) else way.files
    kept = [
        replace(file, urls=tuple(u for u in file.urls if not any(t in u for t in leave_out)))
        for file in files
    ]
    return kept if all(file.urls for file in kept) else None


def _arranged(
    way: Way, recipe: Recipe, fetched: Mapping[Path, RemoteFile], staging: Path, view: View
) -> Path:
    """Arrange the dataset in an empty folder.

    Raises NotFetched for a file that is no good. It is not kept, unless its digest shows that it
    is the one that was meant: then fetching it again would not help.
    """
    arranging = staging / "bench"
    _remove(arranging)
    arranging.mkdir()
    try:
        return way.arrange(recipe, list(fetched), arranging, view)
    except BadArchive as failure:
        named = failure.archive
        suspects = [named] if named is not None and named in fetched else list(fetched)
        for path in suspects:
            if fetched[path].digest is None:
                path.unlink()
        view.say(f"{suspects[0].name}: {failure}")
        raise NotFetched([Tried(fetched[suspects[0]].urls[0], str(failure))]) from None


def _put_in_place(ready: Path, place: Path, aside: Path) -> None:
    """Rename the dataset into its place, what is there having been put aside."""
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


def _nothing_helped(recipe: Recipe, staging: Path, tried: Sequence[Tried]) -> InputError:
    """Return the error that lists all that was tried."""
    lines = [f"{recipe.dataset} could not be downloaded. Tried:"]
    lines += [f"  {what}: {reason}" for what, reason in tried]
    kept = f", which goes on with what is kept in {staging}" if any(staging.iterdir()) else ""
    lines.append(
        f"Run the command again later{kept}, or put the images into "
        f"{staging.parents[1] / recipe.folder}/<domain>/<class>/ by hand."
    )
    return InputError("\n".join(lines))
