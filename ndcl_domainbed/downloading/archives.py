"""Unpacks zip and tar archives that nobody vouches for: nothing of them leaves the folder."""

from __future__ import annotations

import errno
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading.errors import BadArchive, disk_errors_as_input_errors
from ndcl_domainbed.downloading.view import Report, amount

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
_LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini")
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError,
    NotImplementedError, RuntimeError, UnicodeError,
)  # fmt: skip
_CLASHES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL)


class _Entry(NamedTuple):
    """A folder or regular file of an archive; ``passed`` bytes of the archive lie before it."""

    name: str
    is_folder: bool
    size: int
    passed: int
    open: Callable[[], IO[bytes] | None]


Wanted = Callable[[PurePosixPath], bool]


def unpack(
    archive: Path, into: Path, report: Report, *, largest: int, wanted: Wanted | None = None
) -> None:
    """Unpack the files of a zip or (compressed) tar archive into the folder ``into``.

    Only regular files are made, never with more rights than a new file has. Hidden files and
    what operating systems leave behind are skipped, and so is what ``wanted`` does not want.
    Raises BadArchive if the archive is damaged or unpacks to more than ``largest`` bytes, or has
    an absolute path, one with ``..``, a link or a device; and InputError if the disk is full.
    """
    with _damage_named(archive), archive.open("rb") as raw:
        total, written = archive.stat().st_size, 0
        is_zip = raw.read(4) in _ZIP_STARTS
        raw.seek(0)
        for entry in _zip_entries(raw) if is_zip else _tar_entries(raw):
            path = _inside(entry.name)
            if path is None or (wanted is not None and not wanted(path)):
                continue
            written += entry.size
            if written > largest:
                raise BadArchive(f"unpacks to more than {amount(largest)}")
            _write(entry, into / path)
            report(min(entry.passed, total), total)


def _zip_entries(raw: IO[bytes]) -> Iterator[_Entry]:
    """Yield the entries of a zip archive."""
    with zipfile.ZipFile(raw) as archive:
        infos = archive.infolist()
        _check_space(raw, sum(info.file_size for info in infos))
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise BadArchive(f"has a link or device, {info.filename!r}")
            yield _Entry(
                info.filename, info.is_dir(), info.file_size, info.header_offset,
                lambda info=info: archive.open(info),  # type: ignore[misc]
            )  # fmt: skip


def _tar_entries(raw: IO[bytes]) -> Iterator[_Entry]:
    """Yield the entries of a tar archive of any compression, in one pass."""
    _check_space(raw, Path(raw.name).stat().st_size)  # images hardly compress
    with tarfile.open(fileobj=raw, mode="r:*") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # not to keep half a million
            if not member.isfile() and not member.isdir():
                raise BadArchive(f"has a link or device, {member.name!r}")
            yield _Entry(
                member.name, member.isdir(), member.size, raw.tell(),
                lambda member=member: archive.extractfile(member),  # type: ignore[misc]
            )  # fmt: skip
        _check_end(archive)


def _check_end(archive: tarfile.TarFile) -> None:
    """Raise BadArchive if more than padding follows the last member.

    tarfile takes a broken header for the end. Reading on also makes gzip compare its checksum.
    """
    assert archive.fileobj is not None
    while rest := archive.fileobj.read(1 << 20):
        if rest.strip(b"\0"):
            raise BadArchive("is damaged in the middle")


def _inside(name: str) -> PurePosixPath | None:
    """Return the path of an entry, None if it is to be skipped.

    Raises BadArchive for a path that could lead out of the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name) or "\0" in name:
        raise BadArchive(f"has a path that leaves its folder, {name!r}")
    if any(part.startswith(".") or part in _LITTER for part in path.parts):
        return None
    return path if path.parts else None


def _write(entry: _Entry, target: Path) -> None:
    """Make the folder or file of an entry."""
    try:
        if entry.is_folder:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        source = entry.open()
        if source is None:
            raise BadArchive(f"has no content for {entry.name!r}")
        with source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
            if file.tell() != entry.size:
                raise BadArchive(f"ends in the middle of {entry.name!r}")
    except OSError as error:
        if error.errno in _CLASHES:
            raise BadArchive(f"has a path that cannot be made, {entry.name!r}") from None
        raise


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    """Turn what reading a damaged archive raises into BadArchive, what the disk does not."""
    try:
        with disk_errors_as_input_errors(archive):
            try:
                yield
            except OSError as error:
                if error.errno is None:  # gzip's complaints about its input are OSErrors too
                    raise EOFError(error) from None
                raise
    except BadArchive as error:
        error.archive = archive
        raise
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise BadArchive(f"cannot be read as a zip or tar archive ({reason})", archive) from None


def _check_space(raw: IO[bytes], needed: int) -> None:
    """Raise InputError if the disk has no room for the unpacked files."""
    folder = Path(raw.name).parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: {amount(needed)} are needed to unpack {Path(raw.name).name} and "
            f"{amount(free)} are free. Make room and run the command again."
        )
