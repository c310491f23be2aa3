from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from torchvision.datasets.folder import IMG_EXTENSIONS, ImageFolder

from imbalance_splits.errors import InputError
from imbalance_splits.folder_scan import default_cache, folder_label_counts
from imbalance_splits.layout import IMAGE_EXTENSIONS
from tests.imbalance_splits.stand_ins import write_images

HOUR_NS = 3_600_000_000_000


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images", sizes={"cat": 3, "dog": 2})
    settle(tmp_path / "images")
    return tmp_path / "images"


def settle(root):
    """Let the folders look as if they had last changed an hour ago."""
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            age(path)


def age(folder, hours=1):
    before = folder.stat().st_mtime_ns - hours * HOUR_NS
    os.utime(folder, ns=(before, before))


def scan(images):
    return folder_label_counts(images, images.parent / "cache.json")


def test_the_extensions_are_torchvisions():
    assert IMAGE_EXTENSIONS == IMG_EXTENSIONS


def test_domains_classes_and_counts(images):
    expected = {name: {"cat": 3, "dog": 2} for name in ("art", "book", "clay")}
    assert scan(images) == expected
    assert [list(row) for row in scan(images).values()] == [["cat", "dog"]] * 3
    assert list(scan(images)) == ["art", "book", "clay"]


def test_what_counts_as_an_image_is_what_torchvision_reads(images):
    (images / "art" / "cat" / "deep" / "er").mkdir(parents=True)
    for name in ("A.JPG", "b.webp", "c.txt", "d", "e.png.part", "deep/er/f.TIFF"):
        (images / "art" / "cat" / name).touch()
    folder = ImageFolder(images / "art")
    assert scan(images)["art"] == {
        "cat": folder.targets.count(0),
        "dog": folder.targets.count(1),
    }
    assert scan(images)["art"]["cat"] == 6


def test_hidden_folders_are_neither_domains_nor_classes(images):
    (images / ".git" / "x").mkdir(parents=True)
    (images / "art" / ".thumbs").mkdir()
    assert list(scan(images)) == ["art", "book", "clay"]
    assert list(scan(images)["art"]) == ["cat", "dog"]


def test_a_second_scan_lists_only_what_changed(images, monkeypatch):
    first = scan(images)
    listed = []
    scandir = os.scandir

    def counting(path):
        listed.append(Path(path).relative_to(images).as_posix())
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    assert scan(images) == first
    assert listed == []
    (images / "book" / "dog" / "new.png").touch()
    assert scan(images)["book"] == {"cat": 3, "dog": 3}
    assert listed == ["book/dog"]


@pytest.mark.parametrize("change", ["add", "remove", "rename", "new class", "gone domain"])
def test_changed_folders_are_noticed(images, change):
    before = scan(images)
    cat = images / "art" / "cat"
    if change == "add":
        (cat / "new.png").touch()
        before["art"]["cat"] = 4
    elif change == "remove":
        (cat / "000.png").unlink()
        before["art"]["cat"] = 2
    elif change == "rename":
        (cat / "000.png").rename(cat / "000.txt")
        before["art"]["cat"] = 2
    elif change == "new class":
        (images / "art" / "horse").mkdir()
        before["art"]["horse"] = 0
    else:
        (images / "art").rename(images.parent / "art")
        del before["art"]
    assert scan(images) == before


def test_folders_of_the_same_age_that_change_places_are_noticed(images):
    art = images / "art"
    (art / "dog" / "new.png").touch()
    (art / "dog" / "newer.png").touch()
    when = (art / "cat").stat().st_mtime_ns - HOUR_NS
    for _ in range(2):
        for folder in (art / "cat", art / "dog", art):  # as unpacking an archive leaves them
            os.utime(folder, ns=(when, when))
        before = scan(images)["art"]
        assert before in ({"cat": 3, "dog": 4}, {"cat": 4, "dog": 3})
        (art / "cat").rename(art / "x")
        (art / "dog").rename(art / "cat")
        (art / "x").rename(art / "dog")
        assert scan(images)["art"] == {"cat": before["dog"], "dog": before["cat"]}


def test_a_folder_that_changed_a_moment_ago_is_not_relied_on(images):
    cat = images / "art" / "cat"
    (cat / "new.png").touch()
    changed = cat.stat().st_mtime_ns
    assert scan(images)["art"]["cat"] == 4
    (cat / "newer.png").touch()
    os.utime(cat, ns=(changed, changed))  # within one tick of a coarse clock
    assert scan(images)["art"]["cat"] == 5


@pytest.mark.parametrize("content", ["", "[]", "{", '{"": [1]}', '{"": 3}', "null"])
def test_a_damaged_cache_is_done_without(images, content):
    (images.parent / "cache.json").write_text(content)
    assert scan(images)["art"] == {"cat": 3, "dog": 2}
    assert "art/cat" in json.loads((images.parent / "cache.json").read_text())


def test_a_cache_that_cannot_be_written_is_done_without(images):
    (images.parent / "file").touch()
    assert folder_label_counts(images, images.parent / "file" / "x.json")["art"]["cat"] == 3


def test_the_cache_is_the_users(images, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    folder_label_counts(images)
    assert default_cache(images).is_file()
    assert tmp_path / "home" in default_cache(images).parents
    assert default_cache(images) == default_cache(images / ".." / "images")
    assert default_cache(images) != default_cache(images.parent)


def test_without_a_home_nothing_is_remembered(images, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert folder_label_counts(images)["art"] == {"cat": 3, "dog": 2}


def test_a_folder_whose_name_is_not_unicode(images):
    other = images.parent / os.fsdecode(b"n\xe4me")
    images.rename(other)
    assert folder_label_counts(other)["art"] == {"cat": 3, "dog": 2}


def test_folders_that_cannot_be_counted(tmp_path):
    with pytest.raises(InputError, match="none: cannot be read"):
        folder_label_counts(tmp_path / "none", tmp_path / "cache.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no folders in it"):
        folder_label_counts(tmp_path / "empty", tmp_path / "cache.json")
