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
from ndcl_domainbed.downloading import archives
from ndcl_domainbed.downloading.archives import unpack
from ndcl_domainbed.downloading.recipe import SourceFailure
from tests.downloading.toys import tarred, toy_files, tree, zipped

FILES = toy_files()
FORMS = {
    "zip": zipped,
    "tar": lambda files: tarred(files, "w"),
    "tar.gz": tarred,
    "tar.xz": lambda files: tarred(files, "w:xz"),
    "tar.bz2": lambda files: tarred(files, "w:bz2"),
}
ESCAPES = ["../out", "a/../../out", "/out", "//out"]
both = pytest.mark.parametrize("make", [zipped, tarred])


def run(content, tmp_path, largest=10**6):
    """Unpack an archive; return path -> content."""
    into = tmp_path / "deep" / "into"
    into.mkdir(parents=True, exist_ok=True)
    (tmp_path / "archive").write_bytes(content)
    unpack(tmp_path / "archive", into, largest)
    return tree(into)


def outside(tmp_path):
    """Return what lies beside the folder that an archive may fill."""
    return {name for name in tree(tmp_path) if not name.startswith("deep/into/")}


@pytest.mark.parametrize("form", FORMS)
def test_files_come_out_as_they_went_in(form, tmp_path):
    assert run(FORMS[form](FILES), tmp_path) == FILES


def test_a_python_without_extraction_filters_unpacks_too(tmp_path, monkeypatch):
    extract = tarfile.TarFile.extract

    def extract_as_before(self, member, path="", set_attrs=True, *, numeric_owner=False):
        return extract(self, member, path, set_attrs, numeric_owner=numeric_owner)

    monkeypatch.setattr(tarfile.TarFile, "extract", extract_as_before)
    monkeypatch.setattr(archives, "_FILTER", {})
    assert run(tarred(FILES), tmp_path) == FILES


@both
def test_hidden_files_stay_in(make, tmp_path):
    litter = [".DS_Store", "toy/._0.png", "__MACOSX/toy/0.png", ".git/config"]
    assert run(make(FILES | dict.fromkeys(litter, b"x")), tmp_path) == FILES


def test_backslashes_in_a_zip_separate_folders(tmp_path):
    assert run(zipped({"a\\b\\c.png": b"x"}), tmp_path) == {"a/b/c.png": b"x"}


@both
@pytest.mark.parametrize("name", ESCAPES)
def test_no_path_leaves_the_folder(make, name, tmp_path):
    with pytest.raises(SourceFailure, match="archive has a path that leaves its folder"):
        run(make({"fine": b"x", name: b"bad"}), tmp_path)
    assert outside(tmp_path) == {"archive"}


names = st.lists(st.sampled_from(["a", "..", ".", "", "\\", "C:", "~", "é", " "]), max_size=5)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.lists(names.map("/".join).filter(bool), min_size=1, max_size=4), st.booleans())
def test_whatever_the_names_nothing_is_written_elsewhere(tmp_path_factory, paths, is_zip):
    tmp_path = tmp_path_factory.mktemp("any")
    with contextlib.suppress(SourceFailure, InputError, OSError):
        run((zipped if is_zip else tarred)(dict.fromkeys(paths, b"x")), tmp_path)
    assert outside(tmp_path) == {"archive"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_a_tar_with_a_link_or_device_is_refused(kind, tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        info = tarfile.TarInfo("toy/link")
        info.type, info.linkname = kind, "/etc"
        archive.addfile(info)
        info = tarfile.TarInfo("toy/link/passwd")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(SourceFailure, match="a link or device, 'toy/link'"):
        run(stream.getvalue(), tmp_path)
    assert not os.path.lexists(tmp_path / "deep/into/toy/link")


def test_a_zip_with_a_link_is_refused(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("toy/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc")
    with pytest.raises(SourceFailure, match="a link or device"):
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


@both
def test_a_bomb_does_not_go_off(make, tmp_path):
    bomb = make({"a": b"0" * 600_000, "b": b"0" * 600_000})
    assert len(bomb) < 10_000
    with pytest.raises(SourceFailure, match=r"unpacks to more than 0\.001 GB"):
        run(bomb, tmp_path)
    assert "b" not in tree(tmp_path / "deep/into")


@pytest.mark.parametrize("form", FORMS)
def test_damage_is_seen(form, tmp_path):
    files = {f"{i}.png": random.Random(i).randbytes(5000) for i in range(10)}
    body = FORMS[form](files)
    with pytest.raises(SourceFailure, match="archive "):
        run(body[: len(body) // 2], tmp_path)
    middle = body.find(b"5.png") if form == "tar" else len(body) // 2
    with pytest.raises(SourceFailure, match="archive "):
        run(body[: middle - 100] + bytes(500) + body[middle + 400 :], tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"<html>quota</html>", b"PK\x03\x04", b"\x1f\x8b", b"a" * 999]
)
def test_no_archive_at_all(content, tmp_path):
    with pytest.raises(SourceFailure, match="archive cannot be read as a zip or tar archive"):
        run(content, tmp_path)


@both
def test_a_full_disk_is_not_the_archives_fault(make, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"archive needs 1[.e].* GB more and 1e-07 GB are free"):
        run(make({"a": os.urandom(1000)}), tmp_path)
