from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading import obtaining
from ndcl_domainbed.downloading.arranging import from_archives
from ndcl_domainbed.downloading.obtaining import is_there, obtain
from ndcl_domainbed.downloading.recipe import RemoteFile, Way
from tests.downloading.toys import HASTY, Listener, md5, tarred, toy_files, toy_recipe, tree, zipped

PLAIN = toy_files(top="")
ZIP = zipped(toy_files())
NOBODY = 65534


def get(recipe, data_dir, view=None, **options):
    return obtain(recipe, data_dir, view or Listener(), patience=HASTY, **options)


def visible(data_dir):
    """Return what a user sees in the data directory."""
    return {path.name for path in data_dir.iterdir() if not path.name.startswith(".")}


def left(data_dir):
    """Return the files that wait for the next try; of parts of them, only the beginning."""
    names = tree(data_dir / ".download")
    return {n.split(".")[0] for n in names if not n.endswith(".lock")}


@pytest.mark.parametrize("body", [ZIP, tarred(toy_files())])
def test_a_dataset_gets_its_place_and_leaves_nothing_else(host, tmp_path, body):
    place = get(toy_recipe(host.serve("/a", body)), tmp_path / "new" / "data")
    assert place == tmp_path / "new" / "data" / "toy_data"
    assert tree(place) == PLAIN
    assert visible(place.parent) == {"toy_data"}
    assert left(place.parent) == set()


def test_the_next_way_is_tried_when_one_leads_nowhere(host, tmp_path):
    missing = f"{host.address}/gone"
    damaged = host.serve("/damaged", ZIP[: len(ZIP) // 2])
    evil = host.serve("/evil", zipped({"../../out.png": b"x"} | toy_files()))
    other = host.serve("/other", zipped(toy_files(classes=["owl"])))
    page = host.serve("/page", b"<html><title>Quota", content_type="text/html")
    recipe = toy_recipe(missing, damaged, evil, other, page, host.serve("/good", ZIP))
    view = Listener()
    assert tree(get(recipe, tmp_path, view)) == PLAIN
    assert visible(tmp_path) == {"toy_data"}
    assert not (tmp_path.parent / "out.png").exists()
    assert [path for path, _ in host.asked] == [
        "/gone", "/damaged", "/evil", "/other", "/page", "/good",
    ]  # fmt: skip


def test_if_nothing_helps_all_that_was_tried_is_listed(host, tmp_path):
    body = zipped(toy_files() | {"toy/readme": os.urandom(10**6)})
    cut = host.serve("/cut", body, cuts=[900_000] + [0] * 9)
    urls = f"{host.address}/gone", host.serve("/bad", b"no archive"), cut
    recipe = toy_recipe(*urls, largest=10**7)
    with pytest.raises(InputError) as caught:
        get(recipe, tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == "Toy could not be downloaded. Tried:"
    assert lines[1] == f"  {host.address}/gone: HTTP 404 Not Found"
    assert lines[2].startswith(f"  {host.address}/bad: cannot be read as a zip or tar archive")
    assert lines[3].startswith(f"  {cut}: Download is incomplete: received ")
    assert str(tmp_path / ".download" / "toy_data") in lines[4]
    assert visible(tmp_path) == set()
    assert left(tmp_path) == {"toy_data/toy2"}  # the bad archive is not kept
    host.files["/cut"].cuts = []
    assert tree(get(recipe, tmp_path)) == PLAIN
    assert host.ranges("/cut")[-1] is not None


def test_a_missing_library_names_the_extra(host, tmp_path, monkeypatch):
    monkeypatch.setattr(obtaining, "LIBRARIES", ("no_such_module", "json"))
    with pytest.raises(InputError) as caught:
        get(toy_recipe(host.serve("/a", ZIP)), tmp_path)
    assert str(caught.value) == (
        "downloading needs no_such_module. Install with: pip install 'ndcl-domainbed[download]'"
    )
    assert host.asked == []


def test_without_anything_kept_nothing_is_said_of_it(host, tmp_path):
    with pytest.raises(InputError) as caught:
        get(toy_recipe(f"{host.address}/gone"), tmp_path)
    assert str(caught.value).splitlines()[-1] == (
        f"Run the command again later, or put the images into {tmp_path}/toy_data/"
        "<domain>/<class>/ by hand."
    )


def test_files_that_came_are_not_fetched_again(host, tmp_path):
    one, two = (zipped(toy_files("", domains=[domain])) for domain in ("ink", "oil paint"))
    files = (
        RemoteFile("one", (host.serve("/one", one),), md5(one)),
        RemoteFile("two", (host.serve("/two", two, statuses=[404]),), md5(two)),
    )
    recipe = toy_recipe(Way(files, from_archives))
    with pytest.raises(InputError, match="404"):
        get(recipe, tmp_path)
    assert left(tmp_path) == {"toy_data/one"}
    assert tree(get(recipe, tmp_path)) == PLAIN
    assert [path for path, _ in host.asked] == ["/one", "/two", "/two"]


def test_a_file_with_the_right_digest_is_kept_even_if_it_cannot_be_used(host, tmp_path):
    body = zipped(toy_files(classes=["owl"]))
    file = RemoteFile("one", (host.serve("/one", body),), md5(body))
    with pytest.raises(InputError, match="no images of the class cat"):
        get(toy_recipe(Way((file,), from_archives)), tmp_path)
    assert left(tmp_path) >= {"toy_data/one"}


def test_a_list_of_files_may_come_from_a_host(host, tmp_path):
    def files():
        return (RemoteFile("listed", (host.serve("/listed", ZIP),)),)

    view = Listener()
    get(toy_recipe(Way(files, from_archives, note="of another origin")), tmp_path, view)
    assert tree(tmp_path / "toy_data") == PLAIN
    assert "note: of another origin" in view.lines


def test_unwanted_addresses_are_left_out(host, tmp_path):
    good, bad = host.serve("/good", ZIP), host.serve("/bad", ZIP)
    both = Way((RemoteFile("x", (bad, good)),), from_archives)
    get(toy_recipe(bad, both), tmp_path, leave_out=["/bad"])
    assert [path for path, _ in host.asked] == ["/good"]
    with pytest.raises(
        InputError, match=r"^--not_from leaves no address of Toy; leave out fewer\."
    ):
        get(toy_recipe(bad), tmp_path / "other", leave_out=["/bad"])


def test_a_dataset_that_is_there_is_left_alone(host, tmp_path):
    recipe = toy_recipe(host.serve("/a", ZIP))
    (tmp_path / "toy_data").mkdir()
    (tmp_path / "toy_data" / "mine").write_bytes(b"x")
    assert is_there(recipe, tmp_path)
    get(recipe, tmp_path)
    assert tree(tmp_path / "toy_data") == {"mine": b"x"}
    assert host.asked == []
    get(recipe, tmp_path, force=True)
    assert tree(tmp_path / "toy_data") == PLAIN
    assert left(tmp_path) == set()


def test_an_empty_folder_is_no_dataset(host, tmp_path):
    (tmp_path / "toy_data").mkdir()
    get(toy_recipe(host.serve("/a", ZIP)), tmp_path)
    assert tree(tmp_path / "toy_data") == PLAIN


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_to_a_dataset_is_replaced_and_not_followed(host, tmp_path, target):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").write_bytes(b"x")
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "toy_data").symlink_to(tmp_path / target)
    recipe = toy_recipe(host.serve("/a", ZIP))
    assert is_there(recipe, data_dir)
    get(recipe, data_dir, force=True)
    assert not (data_dir / "toy_data").is_symlink()
    assert tree(data_dir / "toy_data") == PLAIN
    assert tree(tmp_path / "elsewhere") == {"mine": b"x"}


def test_with_force_the_old_one_stays_until_the_new_one_is_ready(host, tmp_path):
    (tmp_path / "toy_data").mkdir()
    (tmp_path / "toy_data" / "mine").write_bytes(b"x")
    with pytest.raises(InputError):
        get(toy_recipe(host.serve("/a", b"no archive")), tmp_path, force=True)
    assert tree(tmp_path / "toy_data") == {"mine": b"x"}


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
        get(toy_recipe(host.serve("/a", ZIP)), tmp_path, force=True)
    assert tree(tmp_path / "toy_data") == {"mine": b"x"}


class Killed(BaseException):
    """What ends a process at any point."""


@pytest.mark.parametrize("moment", ["unpack", "_put_in_place", "cleaning"])
def test_killed_at_any_moment_the_dataset_is_there_whole_or_not_at_all(
    host, tmp_path, monkeypatch, moment
):
    def killed(*args, **options):
        if moment != "cleaning":
            for path in (tmp_path / ".download").rglob("workspace"):
                (path / "half").write_bytes(b"x")
        raise Killed

    where = {
        "unpack": "ndcl_domainbed.downloading.arranging.unpack",
        "_put_in_place": "ndcl_domainbed.downloading.obtaining._put_in_place",
        "cleaning": "ndcl_domainbed.downloading.obtaining._remove_staging",
    }[moment]
    recipe = toy_recipe(host.serve("/a", ZIP))
    with monkeypatch.context() as patch:
        patch.setattr(where, killed)
        with pytest.raises(Killed):
            get(recipe, tmp_path)
    there = tmp_path / "toy_data"
    assert tree(there) == PLAIN if moment == "cleaning" else not there.exists()
    get(recipe, tmp_path)
    assert tree(there) == PLAIN
    assert len(host.asked) == 1


def test_two_processes_do_not_work_on_one_download(host, tmp_path):
    recipe = toy_recipe(host.serve("/a", ZIP))
    (tmp_path / ".download").mkdir()
    with (
        FileLock(tmp_path / ".download" / "toy_data.lock"),
        pytest.raises(InputError, match="another download of Toy into"),
    ):
        get(recipe, tmp_path)
    assert host.asked == []
    get(recipe, tmp_path)


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


def test_a_data_dir_that_cannot_be_written(host, tmp_path):
    recipe = toy_recipe(host.serve("/a", ZIP))
    denied = pytest.raises(InputError, match=r"cannot be used \(Permission denied\)")
    with read_only_folder() as folder, denied:
        get(recipe, folder)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match=r"file.* cannot be used \(Not a directory\)"):
        get(recipe, tmp_path / "file" / "data")
    assert host.asked == []


def test_no_room_keeps_what_has_arrived(host, tmp_path, monkeypatch):
    body = zipped(toy_files() | {"toy/readme": b"0" * 100_000})
    recipe = toy_recipe(host.serve("/a", body))
    usage = shutil.disk_usage(tmp_path)._replace(free=len(body) + 10)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: usage)
        with pytest.raises(InputError, match="are needed to unpack toy0"):
            get(recipe, tmp_path)
    assert left(tmp_path) >= {"toy_data/toy0"}
    assert visible(tmp_path) == set()
    get(recipe, tmp_path)
    assert len(host.asked) == 1
