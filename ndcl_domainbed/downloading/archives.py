"""Unpacks zip and tar archives from untrusted hosts: nothing is written outside the folder."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from ndcl_domainbed.downloading.fetching import check_space
from ndcl_domainbed.downloading.progress import Report, show_progress
from ndcl_domainbed.downloading.recipe import GB, SourceFailure

_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError,
    NotImplementedError, RuntimeError, UnicodeError,
)  # fmt: skip

_FILTER: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Early releases of Python 3.10 and 3.11 have none; members are checked here as well."""


def unpack(archive: Path, into: Path, largest: int) -> None:
    """Unpack the files of a zip or (compressed) tar archive into the folder ``into``.

    Only folders and regular files are made, with the rights of new files. Hidden files and what
    macOS adds are skipped. Raises SourceFailure if the archive is damaged, unpacks to more than
    ``largest`` bytes, or has an absolute path, one with ``..``, a link or a device; and InputError
    if the disk has no room.
    """
    with archive.open("rb") as file:
        unpacker = _unpack_zip if file.read(2) == b"PK" else _unpack_tar
    try:
        with show_progress(f"{archive.name}: unpacking") as report:
            unpacker(archive, into, largest, report)
    except SourceFailure as failure:
        raise SourceFailure(f"{archive.name} {failure}") from None
    except _DAMAGE as error:
        raise _unreadable(archive, error) from None
    except OSError as error:
        if error.errno is not None:  # gzip's and bzip2's complaints about their input have none
            raise
        raise _unreadable(archive, error) from None


def _unpack_zip(path: Path, into: Path, largest: int, report: Report) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total, done = sum(member.file_size for member in members), 0
        _check_size(total, largest)
        check_space(into, path.name, total)
        for member in members:
            member.filename = member.filename.replace("\\", "/")
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise SourceFailure(f"has a link or device, {member.filename!r}")
            if _is_wanted(member.filename):
                archive.extract(member, into)
            done += member.file_size
            report(done, total)


def _unpack_tar(path: Path, into: Path, largest: int, report: Report) -> None:
    size, unpacked = path.stat().st_size, 0
    check_space(into, path.name, size)  # images hardly compress
    with path.open("rb") as raw, tarfile.open(fileobj=raw) as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # half a million take memory
            if not (member.isfile() or member.isdir()):
                raise SourceFailure(f"has a link or device, {member.name!r}")
            unpacked += member.size
            _check_size(unpacked, largest)
            if _is_wanted(member.name):
                archive.extract(member, into, set_attrs=False, **_FILTER)
            report(raw.tell(), size)
        assert archive.fileobj is not None
        # tarfile takes a broken header for the end; reading on also checks gzip's checksum.
        while rest := archive.fileobj.read(1 << 20):
            if rest.strip(b"\0"):
                raise SourceFailure("is damaged in the middle")


def _is_wanted(name: str) -> bool:
    """Whether a member is neither hidden nor what macOS adds; refuse one that leads out."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise SourceFailure(f"has a path that leaves its folder, {name!r}")
    return not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _check_size(unpacked: int, largest: int) -> None:
    if unpacked > largest:
        raise SourceFailure(f"unpacks to more than {largest / GB:.3g} GB")


def _unreadable(archive: Path, error: Exception) -> SourceFailure:
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return SourceFailure(f"{archive.name} cannot be read as a zip or tar archive ({reason})")
