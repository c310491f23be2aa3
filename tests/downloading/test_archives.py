from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import stat
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading.archives import unpack
from ndcl_domainbed.downloading.errors import BadArchive
from tests.downloading.toys import tarred, toy_files, tree, zipped

FILES = toy_files()
FORMS = {
    "zip": zipped(FILES),
    "tar": tarred(FILES, "w"),
    "tar.gz": tarred(FILES),
    "tar.xz": tarred(FILES, "w:xz"),
    "tar.bz2": tarred(FILES, "w:bz2"),
}
LINKS = {
    "symlink": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE, "pipe": tarfile.FIFOTYPE,
}  # fmt: skip
ESCAPES = ["../out", "a/../../out", "/out", "C:\\out", "..\\out", "a\\..\\..\\out", "//out"]


def run(content, tmp_path, **options):
    """Unpack an archive; return path -> content, and the reported progress."""
    into, calls = tmp_path / "deep" / "into", []
    into.mkdir(parents=True, exist_ok=True)
    (tmp_path / "archive").write_bytes(content)
    options = {"largest": 10**6} | options
    unpack(tmp_path / "archive", into, lambda done, total: calls.append((done, total)), **options)
    return tree(into), calls


def outside(tmp_path):
    """Return what lies beside the folder that an archive may fill."""
    return {name for name in tree(tmp_path) if not name.startswith("deep/into/")}


@pytest.mark.parametrize("form", FORMS)
def test_files_come_out_as_they_went_in(form, tmp_path):
    found, calls = run(FORMS[form], tmp_path)
    assert found == FILES
    assert len(calls) == len(FILES)
    assert all(0 <= done <= total == len(FORMS[form]) for done, total in calls)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_only_what_is_wanted_comes_out(tmp_path):
    found, _ = run(FORMS["tar.gz"], tmp_path, wanted=lambda path: path.name == "1.png")
    assert found == {name: body for name, body in FILES.items() if name.endswith("/1.png")}


def test_litter_stays_in(tmp_path):
    litter = [".DS_Store", "toy/._0.png", "__MACOSX/toy/0.png", "toy/Thumbs.db", ".git/config"]
    found, _ = run(zipped(FILES | dict.fromkeys(litter, b"x")), tmp_path)
    assert found == FILES


def test_paths_of_windows_become_folders(tmp_path):
    found, _ = run(zipped({"a\\b\\c.png": b"x"}), tmp_path)
    assert found == {"a/b/c.png": b"x"}


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize("name", ESCAPES)
def test_no_path_leaves_the_folder(make, name, tmp_path):
    with pytest.raises(BadArchive, match="a path that leaves its folder") as caught:
        run(make({"fine": b"x", name: b"bad"}), tmp_path)
    assert caught.value.archive == tmp_path / "archive"
    assert outside(tmp_path) == {"archive"}


names = st.lists(st.sampled_from(["a", "..", ".", "", "\\", "C:", "~", "é", " "]), max_size=5)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(names.map("/".join).filter(bool), min_size=1, max_size=4), st.booleans())
def test_whatever_the_names_nothing_is_written_elsewhere(tmp_path_factory, paths, is_zip):
    tmp_path = tmp_path_factory.mktemp("any")
    with contextlib.suppress(BadArchive):
        run((zipped if is_zip else tarred)(dict.fromkeys(paths, b"x")), tmp_path)
    assert outside(tmp_path) == {"archive"}


@pytest.mark.parametrize("kind", LINKS)
def test_a_tar_with_a_link_or_device_is_refused(kind, tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        info = tarfile.TarInfo("toy/link")
        info.type, info.linkname = LINKS[kind], "/etc"
        archive.addfile(info)
        info = tarfile.TarInfo("toy/link/passwd")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(BadArchive, match="a link or device, 'toy/link'"):
        run(stream.getvalue(), tmp_path)
    assert tree(tmp_path / "deep") == {}
    assert not os.path.lexists(tmp_path / "deep/into/toy/link")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_a_zip_with_a_link_or_device_is_refused(kind, tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("toy/link")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc")
    with pytest.raises(BadArchive, match="a link or device"):
        run(stream.getvalue(), tmp_path)
    assert tree(tmp_path / "deep") == {}


def test_no_rights_come_out_of_an_archive(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("run.png")
        info.size, info.mode, info.uid = 1, 0o6777, 12345
        archive.addfile(info, io.BytesIO(b"x"))
    run(stream.getvalue(), tmp_path)
    found = (tmp_path / "deep/into/run.png").stat()
    assert stat.S_IMODE(found.st_mode) & 0o6111 == 0
    assert found.st_uid == os.geteuid()


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_bomb_does_not_go_off(make, tmp_path):
    bomb = make({"a": b"0" * 600_000, "b": b"0" * 600_000})
    assert len(bomb) < 10_000
    with pytest.raises(BadArchive, match=r"unpacks to more than 1\.0 MB"):
        run(bomb, tmp_path)
    assert set(tree(tmp_path / "deep/into")) == {"a"}


@pytest.mark.parametrize("mode", [None, "w", "w:gz", "w:xz", "w:bz2"])
def test_a_torn_archive(mode, tmp_path):
    files = {f"{i}.png": random.Random(i).randbytes(5000) for i in range(10)}
    body = zipped(files) if mode is None else tarred(files, mode)
    with pytest.raises(BadArchive):
        run(body[: len(body) // 2], tmp_path)


@pytest.mark.parametrize("mode", [None, "w", "w:gz", "w:xz", "w:bz2"])
def test_a_hole_in_an_archive(mode, tmp_path):
    files = {f"{i}.png": random.Random(i).randbytes(5000) for i in range(10)}
    body = bytearray(zipped(files) if mode is None else tarred(files, mode))
    middle = body.find(b"5.png") if mode == "w" else len(body) // 2
    body[middle - 100 : middle + 400] = bytes(500)
    with pytest.raises(BadArchive):
        run(bytes(body), tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_flipped_bits_are_seen_or_change_nothing_but_content(form, tmp_path):
    body = bytearray(FORMS[form])
    for place in range(60, len(body), 97):
        body[place] ^= 0x55
    try:
        found, _ = run(bytes(body), tmp_path)
        assert form == "tar"  # a plain tar checks its headers only
        assert found.keys() <= FILES.keys()
    except BadArchive:
        pass


@pytest.mark.parametrize(
    "content", [b"", b"<html>quota</html>", b"PK\x03\x04", b"\x1f\x8b", b"a" * 999]
)
def test_no_archive_at_all(content, tmp_path):
    with pytest.raises(BadArchive, match="cannot be read as a zip or tar archive"):
        run(content, tmp_path)


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "a"], ["x" * 300]])
def test_paths_that_cannot_be_made_are_the_archives_fault(make, names, tmp_path):
    with pytest.raises(BadArchive, match="a path that cannot be made"):
        run(make(dict.fromkeys(names, b"x")), tmp_path)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_full_disk_is_not(make, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="are needed to unpack archive and 100 bytes are free"):
        run(make({"a": os.urandom(1000)}), tmp_path)


def test_a_disk_that_fills_up_meanwhile(tmp_path, monkeypatch):
    def full(source, file, length):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(InputError, match="No space left on device"):
        run(FORMS["zip"], tmp_path)
