"""Are the images of a dataset all there, can each one be decoded, and what becomes of it?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from imbalance_splits.errors import InputError, join_names
from imbalance_splits.file_list import read_file_list
from imbalance_splits.image_tree import describe_left_out, scan_images
from imbalance_splits.labels import describe_absent
from imbalance_splits.pixels import choose_size, describe_conversion
from imbalance_splits.published import DOMAINS, describe_twin, label_counts

SUBSET_SHARES = {"VLCS": 0.7}  # datasets whose published counts are those of a part of the images
RELEASES = {
    "DomainNet": "the published counts are those of all 596,006 images; DomainBed's downloader "
    "removes 9,431 of them as duplicates"
}
"""What explains too few images of a dataset."""

Counts = Mapping[str, Mapping[str, int]]
Progress = Callable[[int, int], None]  # called with the number of images decoded so far and of all


@dataclass
class Report:
    """What was found: ``images`` files, and ``problems`` and ``notes`` of one line each.

    ``unread`` are the images that are not there or cannot be decoded.
    """

    images: int = 0
    unread: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def summary(self, compared: bool) -> str:
        """Return one line; ``compared`` tells whether there were published counts."""
        count = len(self.problems)
        found = f"{count} problem{'s' * (count > 1)}" if count else "all sound"
        against = "" if compared else "; there are no published counts to compare with"
        return f"{self.images:,} images, {found}{against}"


def verify_folder(
    root: Path | str,
    dataset: str | None,
    progress: Progress | None = None,
    *,
    known: bool = False,
) -> Report:
    """Compare the images below ``root`` with the published counts and decode every one.

    ``dataset`` names the published dataset; with None the counts are not compared. A ``known``
    dataset, which a published one is, has images of 224 x 224, read as DomainBed does. The report
    names every missing or surplus folder, every class with too few or too many images, every
    file that is no image, every image that cannot be decoded, and every file that is there twice
    by a link. Published counts say how many images there are and not what they are called, so a
    missing image is reported by its class. Notes name what is skipped, left out or converted.
    Raises InputError if there is no such folder, it cannot be read, or its layout is ambiguous.
    """
    tree = scan_images(root)
    report = Report()
    report.problems += [f"extra: {name} is not an image in a class folder" for name in tree.stray]
    reason = "a link that leads nowhere, or to a folder that contains it"
    report.problems += [f"broken: {name} is {reason}" for name in tree.broken]
    if tree.skipped:
        names = ", ".join(tree.skipped)
        report.notes.append(f"the classes are the folders in {names}: that level is skipped")
    report.notes += describe_left_out(tree)
    counts = tree.label_counts()
    images = [Path(at) for row in tree.images.values() for files in row.values() for at in files]
    if dataset is not None:
        sizes = {d: {k: len(v) for k, v in row.items()} for d, row in tree.images.items()}
        _compare(sizes, dataset, report)
    else:
        report.notes += _describe(counts)
    seen: dict[str, Path] = {}
    for path in images if tree.has_links else ():
        first = seen.setdefault(os.path.realpath(path), path)
        if first is not path:
            this, that = (file.relative_to(tree.root).as_posix() for file in (path, first))
            report.problems.append(f"twice: {this} is the same file as {that}")
    known = known or dataset is not None
    _decode(images, tree.root, report, progress, hidden_colors=known)
    return report


def verify_list(path: Path | str, progress: Progress | None = None) -> Report:
    """Decode every image that a list names, as :func:`read_file_list` reads it.

    The report names every file that is not there or cannot be decoded. Raises InputError if the
    list cannot be read.
    """
    report = Report()
    files = read_file_list(path, report.unread)
    report.problems += [f"missing: there is no file {file}" for file in report.unread]
    report.notes += _describe(files.label_counts())
    images = [image.file for row in files.domains.values() for image in row]
    _decode(images, None, report, progress, hidden_colors=False)
    return report


def _describe(counts: Counts) -> list[str]:
    """Return what counts as a domain (maybe a level of folders that was not meant) and a class."""
    classes = next(iter(counts.values()), {})
    domains, kinds = "s" * (len(counts) != 1), "es" * (len(classes) != 1)
    found = f"{len(counts)} domain{domains}, {', '.join(counts)}; {len(classes)} class{kinds}"
    return [found, *describe_absent(counts), *describe_twin(counts)]


def _compare(sizes: Counts, dataset: str, report: Report) -> None:
    """Add what is missing and what is too much."""
    expected = label_counts(dataset)
    usual = DOMAINS[dataset]
    folders = _domain_folders(list(sizes), dataset)
    for domain, folder in usual.items():
        if domain not in folders:
            report.problems.append(f"missing: no folder for domain {domain} ({folder})")
    for folder in sorted(set(sizes) - set(folders.values())):
        report.problems.append(f"extra: {folder} is no domain of {dataset}")
    if list(folders.values()) != sorted(folders.values()):
        report.problems.append(
            f"misnamed: training takes the domains by the order of their folders, which is now "
            f"{', '.join(sorted(folders.values()))}; name them {', '.join(usual.values())}"
        )
    share = SUBSET_SHARES.get(dataset)
    if (
        share is not None
        and set(folders) == set(expected)
        and all(
            abs(sizes[folders[domain]].get(name, 0) * share - count) <= 1  # up to rounding
            for domain, row in expected.items()
            for name, count in row.items()
        )
    ):
        report.notes.append(
            f"the published counts are those of a {share:.0%} subset; this is the whole dataset"
        )
        return
    lines = [
        line
        for domain, folder in folders.items()
        for line in _differences(folder, sizes[folder], expected[domain])
    ]
    if dataset in RELEASES and any("fewer than" in line for line in lines):
        report.notes.append(RELEASES[dataset])
    report.problems += lines


def _domain_folders(folders: Sequence[str], dataset: str) -> dict[str, str]:
    """Return domain -> folder: the usual one, or else the first that begins with its name."""
    chosen = {}
    for domain, usual in DOMAINS[dataset].items():
        near = [name for name in folders if name.lower().startswith(domain.lower())]
        near.sort(key=lambda name, usual=usual: name.lower() != usual.lower())  # type: ignore[misc]
        if near:
            chosen[domain] = near[0]
    return chosen


def _differences(
    folder: str, sizes: Mapping[str, int], expected: Mapping[str, int]
) -> Iterator[str]:
    """Yield one line for each class of a domain that is not as published."""
    for name, count in expected.items():
        here = sizes.get(name)
        if here is None:
            yield f"missing: {folder}/{name}, a class of {count} images"
        elif here < count:
            yield f"missing: {folder}/{name} has {here} images, {count - here} fewer than published"
        elif here > count:
            yield f"extra: {folder}/{name} has {here} images, {here - count} more than published"
    for name in sizes:
        if name not in expected:
            yield f"extra: {folder}/{name} is no class of the published dataset"


def _decode(
    images: Sequence[Path],
    root: Path | None,
    report: Report,
    progress: Progress | None,
    *,
    hidden_colors: bool,
) -> None:
    """Decode every image; report the broken ones and what is done with the others."""
    converted: dict[str, list[str]] = {}
    examine = partial(_examine, hidden_colors=hidden_colors)
    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter's lock
        for path, found in zip(images, pool.map(examine, images), strict=True):
            name = str(path) if root is None else path.relative_to(root).as_posix()
            report.images += 1
            if isinstance(found, str):
                report.unread.append(path)
                report.problems.append(f"broken: {name} ({found})")
            else:
                for phrase in found:
                    converted.setdefault(phrase, []).append(name)
            if progress is not None and (report.images % 64 == 0 or report.images == len(images)):
                progress(report.images, len(images))
    for phrase, names in sorted(converted.items()):
        report.notes.append(f"{phrase} ({len(names):,}: {join_names(names, most=1)})")
    if not hidden_colors and not report.unread:
        size, reason = choose_size(images)
        report.notes.append(f"images are used at {size}×{size}: {reason}")


def _examine(path: Path, hidden_colors: bool) -> list[str] | str:
    """Return how an image is converted, or why it cannot be read."""
    try:
        return describe_conversion(path, hidden_colors=hidden_colors)
    except InputError as error:
        return str(error.__cause__).replace(f" {str(path)!r}", "").strip() or "damaged"
