import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading import obtaining
from ndcl_domainbed.downloading.obtaining import is_there, obtain
from ndcl_domainbed.downloading.recipe import RemoteFile, Way
from tests.downloading.toys import md5, toy_files, toy_recipe, tree, zipped

PLAIN = toy_files(top="")
ZIP = zipped(toy_files())
NOBODY = 65534


def visible(data_dir):
    """Return what a user sees in the data directory."""
    return {path.name for path in data_dir.iterdir() if not path.name.startswith(".")}


def left(data_dir):
    """Return the files that wait for the next try; of parts of them, only the beginning."""
    names = tree(data_dir / ".download")
    return {n.split(".")[0] for n in names if not n.endswith(".lock")}


def test_the_next_way_is_tried_when_one_leads_nowhere(host, tmp_path):
    missing = f"{host.address}/gone"
    damaged = host.serve("/damaged", ZIP[: len(ZIP) // 2])
    evil = host.serve("/evil", zipped({"../../out.png": b"x"} | toy_files()))
    other = host.serve("/other", zipped(toy_files(classes=["owl"])))
    page = host.serve("/page", b"<html><title>Quota", content_type="text/html")
    recipe = toy_recipe(missing, damaged, evil, other, page, host.serve("/good", ZIP))
    place = obtain(recipe, tmp_path / "new" / "data")
    assert place == tmp_path / "new" / "data" / "toy_data"
    assert tree(place) == PLAIN
    assert visible(place.parent) == {"toy_data"}
    assert left(place.parent) == set()
    assert not list(tmp_path.rglob("out.png"))
    assert [path for path, _ in host.asked] == [
        "/gone", "/damaged", "/evil", "/other", "/page", "/good",
    ]  # fmt: skip


def test_if_nothing_helps_all_that_was_tried_is_listed(host, tmp_path):
    body = zipped(toy_files() | {"toy/readme": os.urandom(10**6)})
    cut = host.serve("/cut", body, cuts=[900_000] + [0] * 9)
    urls = f"{host.address}/gone", host.serve("/bad", b"no archive"), cut
    recipe = toy_recipe(*urls, largest=10**7)
    with pytest.raises(InputError) as caught:
        obtain(recipe, tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == "Toy could not be downloaded. Tried:"
    assert lines[1] == f"  {host.address}/gone: HTTP 404 Not Found"
    assert lines[2].startswith(f"  {host.address}/bad: toy1 cannot be read as a zip or tar archive")
    assert lines[3].startswith(f"  {cut}: Download is incomplete: received ")
    assert lines[4] == (
        "Run the command again later, which uses what is kept in "
        f"{tmp_path}/.download/toy_data, or put the images into {tmp_path}/toy_data/"
        "<domain>/<class>/ by hand."
    )
    assert visible(tmp_path) == set()
    assert left(tmp_path) == {"toy_data/toy2"}  # the bad archive is not kept
    host.files["/cut"].cuts = []
    assert tree(obtain(recipe, tmp_path)) == PLAIN
    assert host.ranges("/cut")[-1] is not None


def test_a_missing_library_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(obtaining, "LIBRARIES", ("no_such_module", "json"))
    with pytest.raises(InputError) as caught:
        obtain(toy_recipe("http://127.0.0.1/a"), tmp_path)
    assert str(caught.value) == (
        "downloading needs no_such_module. Install with: pip install 'ndcl-domainbed[download]'"
    )


def test_files_that_came_are_not_downloaded_again(host, tmp_path):
    one, two = (zipped(toy_files("", domains=[domain])) for domain in ("ink", "oil paint"))
    files = (
        RemoteFile("one", (host.serve("/one", one),), md5(one)),
        RemoteFile("two", (host.serve("/two", two, status=404),), md5(two)),
    )
    recipe = toy_recipe(Way(files))
    with pytest.raises(InputError, match="404"):
        obtain(recipe, tmp_path)
    assert left(tmp_path) == {"toy_data/one"}
    host.files["/two"].status = None
    assert tree(obtain(recipe, tmp_path)) == PLAIN
    assert [path for path, _ in host.asked] == ["/one", "/two", "/two"]


def test_a_file_with_the_right_digest_is_kept_even_if_it_cannot_be_used(host, tmp_path):
    body = zipped(toy_files(classes=["owl"]))
    file = RemoteFile("one", (host.serve("/one", body),), md5(body))
    with pytest.raises(InputError, match="no images of the class cat"):
        obtain(toy_recipe(Way((file,))), tmp_path)
    assert left(tmp_path) >= {"toy_data/one"}


def test_a_list_of_files_may_come_from_a_host(host, tmp_path, capsys):
    way = Way(lambda: (RemoteFile("x", (host.serve("/x", ZIP),)),), note="of another origin")
    obtain(toy_recipe(way), tmp_path)
    assert tree(tmp_path / "toy_data") == PLAIN
    assert "note: of another origin\n" in capsys.readouterr().out


def test_a_dataset_that_is_there_is_left_alone_unless_forced(host, tmp_path):
    recipe = toy_recipe(host.serve("/a", ZIP))
    (tmp_path / "toy_data").mkdir()
    assert not is_there(recipe, tmp_path)  # an empty folder is no dataset
    (tmp_path / "toy_data" / "mine").write_bytes(b"x")
    assert is_there(recipe, tmp_path)
    obtain(recipe, tmp_path)
    assert tree(tmp_path / "toy_data") == {"mine": b"x"}
    assert host.asked == []
    with pytest.raises(InputError):  # it stays until the new one is ready
        obtain(toy_recipe(host.serve("/bad", b"no archive")), tmp_path, force=True)
    assert tree(tmp_path / "toy_data") == {"mine": b"x"}
    obtain(recipe, tmp_path, force=True)
    assert tree(tmp_path / "toy_data") == PLAIN
    assert left(tmp_path) == set()


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_to_a_dataset_is_replaced_and_not_followed(host, tmp_path, target):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").write_bytes(b"x")
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "toy_data").symlink_to(tmp_path / target)
    recipe = toy_recipe(host.serve("/a", ZIP))
    assert is_there(recipe, data_dir)
    obtain(recipe, data_dir, force=True)
    assert not (data_dir / "toy_data").is_symlink()
    assert tree(data_dir / "toy_data") == PLAIN
    assert tree(tmp_path / "elsewhere") == {"mine": b"x"}


def test_the_old_one_comes_back_if_the_new_one_cannot_be_put_in_place(host, tmp_path, monkeypatch):
    (tmp_path / "toy_data").mkdir()
    (tmp_path / "toy_data" / "mine").write_bytes(b"x")
    rename = Path.rename

    def fail(self, target):
        if self.name == "arranged":
            raise PermissionError(1, "Operation not permitted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(InputError, match="Operation not permitted"):
        obtain(toy_recipe(host.serve("/a", ZIP)), tmp_path, force=True)
    assert tree(tmp_path / "toy_data") == {"mine": b"x"}


class Killed(BaseException):
    """What ends a process at any point."""


@pytest.mark.parametrize("moment", ["arranging.unpack", "obtaining._put_in_place"])
def test_killed_before_the_end_the_dataset_is_not_there(host, tmp_path, monkeypatch, moment):
    def kill(*args, **options):
        for path in (tmp_path / ".download").rglob("workspace"):
            (path / "half").write_bytes(b"x")
        raise Killed

    recipe = toy_recipe(host.serve("/a", ZIP))
    with monkeypatch.context() as patch:
        patch.setattr(f"ndcl_domainbed.downloading.{moment}", kill)
        with pytest.raises(Killed):
            obtain(recipe, tmp_path)
    assert not (tmp_path / "toy_data").exists()
    obtain(recipe, tmp_path)
    assert tree(tmp_path / "toy_data") == PLAIN
    assert len(host.asked) == 1


def test_two_processes_do_not_work_on_one_download(host, tmp_path):
    recipe = toy_recipe(host.serve("/a", ZIP))
    (tmp_path / ".download").mkdir()
    with (
        FileLock(tmp_path / ".download" / "toy_data.lock"),
        pytest.raises(InputError, match="is in use by another process"),
    ):
        obtain(recipe, tmp_path)
    assert host.asked == []
    obtain(recipe, tmp_path)


@contextmanager
def read_only_folder():
    """A folder that this process may read and not write, whoever it runs as."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_data_dir_that_cannot_be_written(tmp_path):
    recipe = toy_recipe("http://127.0.0.1/a")
    denied = pytest.raises(InputError, match=r"^cannot use .*: Permission denied\.$")
    with read_only_folder() as folder, denied:
        obtain(recipe, folder)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match=r"^cannot use .*file.*: Not a directory\.$"):
        obtain(recipe, tmp_path / "file" / "data")


def test_no_room_keeps_what_has_arrived(host, tmp_path, monkeypatch):
    body = zipped(toy_files() | {"toy/readme": b"0" * 100_000})
    recipe = toy_recipe(host.serve("/a", body))
    usage = shutil.disk_usage(tmp_path)._replace(free=len(body) + 10)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: usage)
        with pytest.raises(InputError, match=r"toy0 needs .* GB more"):
            obtain(recipe, tmp_path)
    assert left(tmp_path) >= {"toy_data/toy0"}
    assert visible(tmp_path) == set()
    obtain(recipe, tmp_path)
    assert len(host.asked) == 1
