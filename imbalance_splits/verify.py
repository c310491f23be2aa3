"""Are the images of a dataset all there, and can each one be decoded?"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from imbalance_splits.errors import InputError
from imbalance_splits.file_list import read_file_list
from imbalance_splits.folder_scan import fail
from imbalance_splits.layout import (
    Layout,
    class_folders,
    domain_folders,
    is_image,
    skipped_folders,
)
from imbalance_splits.published import ENVIRONMENTS, FOLDERS, label_counts

SUBSET_SHARES = {"VLCS": 0.7}
"""Datasets whose published counts are those of a part of the images."""

RELEASES = {
    "DomainNet": "the published counts are those of all 596,006 images; DomainBed's downloader "
    "removes 9,431 of them as duplicates"
}
"""What explains too few images of a dataset."""

Progress = Callable[[int, int], None]
"""Called with the number of images decoded so far and of all."""


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
    root: Path | str, dataset: str | None, progress: Progress | None = None
) -> Report:
    """Compare the images below ``root`` with the published counts and decode every one.

    ``dataset`` names the published dataset; with None the counts are not compared. The report
    names every missing or surplus folder, every class with too few or too many images, every
    file that is no image and every image that cannot be decoded. Published counts say how many
    images there are and not what they are called, so a missing image is reported by its class.
    A note names the folders between domain and class that are skipped. Raises InputError if there
    is no such folder, if it cannot be read, or if its layout is ambiguous.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"no folder {root}; name the directory that holds it.")
    report = Report()
    try:
        domains = domain_folders(root)
        layout = class_folders(domains)
        found = {d: {c: _files(path) for c, path in row.items()} for d, row in layout.items()}
        skipped = skipped_folders(domains, layout)
        for folder in sorted([*domains.values(), *skipped]):
            report.problems += _outside_classes(root, folder)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}).") from None
    if skipped:
        names = ", ".join(folder.relative_to(root).as_posix() for folder in skipped)
        report.notes.append(f"the classes are the folders in {names}: that level is skipped")
    if dataset is not None:
        sizes = {
            domain: {name: sum(map(is_image, files)) for name, files in row.items()}
            for domain, row in found.items()
        }
        _compare(sizes, dataset, report)
    else:
        report.notes.append(_taken_for(found, {name for row in found.values() for name in row}))
    _decode(root, layout, found, report, progress)
    return report


def verify_list(path: Path | str, progress: Progress | None = None) -> Report:
    """Decode every image that a list names, as :func:`read_file_list` reads it.

    The report names every file that is not there or cannot be decoded. Raises InputError if the
    list cannot be read.
    """
    report = Report()
    files = read_file_list(path, report.unread)
    report.problems += [f"missing: there is no file {file}" for file in report.unread]
    images = [file for pairs in files.domains.values() for file, _ in pairs]
    report.notes.append(_taken_for(files.domains, files.classes))
    with ThreadPoolExecutor() as pool:
        for file, reason in zip(images, pool.map(_defect, images), strict=True):
            _add_image(report, file, str(file), reason)
            if progress is not None:
                progress(report.images, len(images))
    return report


def _taken_for(domains: Collection[str], classes: Collection[str]) -> str:
    """Return what counts as a domain: it may be a level of folders that was not meant."""
    return f"{len(domains)} domains, {', '.join(domains)}; {len(classes)} classes"


def _outside_classes(root: Path, folder: Path) -> list[str]:
    """Return a line for each file that lies directly in the folder of a domain."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    names = [path.relative_to(root).as_posix() for path in files]
    return [f"extra: {name} lies outside the class folders" for name in names]


def _files(folder: Path) -> list[str]:
    """Return the paths of all files below ``folder``, relative to it, sorted."""
    walk = os.walk(folder, onerror=fail, followlinks=True)
    return sorted(
        str(Path(parent, name).relative_to(folder)) for parent, _, names in walk for name in names
    )


def _compare(sizes: Mapping[str, Mapping[str, int]], dataset: str, report: Report) -> None:
    """Add what is missing and what is too much."""
    expected = label_counts(dataset)
    folders = _domain_folders(list(sizes), dataset)
    for domain, usual in zip(ENVIRONMENTS[dataset], FOLDERS[dataset], strict=True):
        if domain not in folders:
            report.problems.append(f"missing: no folder for domain {domain} ({usual})")
    for folder in sorted(set(sizes) - set(folders.values())):
        report.problems.append(f"extra: {folder} is no domain of {dataset}")
    if list(folders.values()) != sorted(folders.values()):
        report.problems.append(
            f"misnamed: training takes the domains by the order of their folders, which is now "
            f"{', '.join(sorted(folders.values()))}; name them {', '.join(FOLDERS[dataset])}"
        )
    share = SUBSET_SHARES.get(dataset)
    if share is not None and _is_whole(sizes, expected, folders, share):
        report.notes.append(
            f"the published counts are those of a {share:.0%} subset; this is the whole dataset"
        )
        return
    for domain, folder in folders.items():
        lines = list(_differences(folder, sizes[folder], expected[domain]))
        if dataset in RELEASES and not report.notes and any("fewer than" in x for x in lines):
            report.notes.append(RELEASES[dataset])
        report.problems += lines


def _domain_folders(folders: Sequence[str], dataset: str) -> dict[str, str]:
    """Return domain -> folder: the usual one, or else the first that begins with its name."""
    chosen = {}
    for domain, usual in zip(ENVIRONMENTS[dataset], FOLDERS[dataset], strict=True):
        near = [name for name in folders if name.lower().startswith(domain.lower())]
        near.sort(key=lambda name, usual=usual: name.lower() != usual.lower())  # type: ignore[misc]
        if near:
            chosen[domain] = near[0]
    return chosen


def _is_whole(
    sizes: Mapping[str, Mapping[str, int]],
    expected: Mapping[str, Mapping[str, int]],
    folders: Mapping[str, str],
    share: float,
) -> bool:
    """Say whether ``share`` of every class is what was published, up to rounding."""
    return set(folders) == set(expected) and all(
        abs(sizes[folders[domain]].get(name, 0) * share - count) <= 1
        for domain, row in expected.items()
        for name, count in row.items()
    )


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
    root: Path,
    layout: Layout,
    found: Mapping[str, Mapping[str, Sequence[str]]],
    report: Report,
    progress: Progress | None,
) -> None:
    """Decode every image, a class at a time, and add the broken ones and the other files."""
    total = sum(
        is_image(file) for row in found.values() for files in row.values() for file in files
    )
    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter's lock
        for domain, row in found.items():
            for name, files in row.items():
                folder = layout[domain][name]
                shown = folder.relative_to(root).as_posix()
                images = [file for file in files if is_image(file)]
                for file, reason in zip(
                    images, pool.map(_defect, [folder / file for file in images]), strict=True
                ):
                    _add_image(report, folder / file, f"{shown}/{file}", reason)
                report.problems += [
                    f"extra: {shown}/{file} is no image" for file in files if not is_image(file)
                ]
                if progress is not None:
                    progress(report.images, total)


def _add_image(report: Report, path: Path, name: str, reason: str | None) -> None:
    """Count an image and, with a ``reason`` why it cannot be decoded, report it as broken."""
    report.images += 1
    if reason is not None:
        report.unread.append(path)
        report.problems.append(f"broken: {name} ({reason})")


def _defect(path: Path) -> str | None:
    """Return why an image cannot be decoded, or None if it can."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.convert("RGB")
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        return str(error).replace(f" {str(path)!r}", "").strip() or type(error).__name__
    return None
