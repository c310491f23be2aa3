"""Which folders are the domains and the classes, and that every scanner agrees."""

from __future__ import annotations

import re

import pytest

from imbalance_splits.errors import InputError
from imbalance_splits.folder_scan import folder_label_counts
from imbalance_splits.layout import (
    check_class_count,
    class_folders,
    domain_folders,
    list_folder,
    skipped_folders,
)
from imbalance_splits.verify import verify_folder
from tests.imbalance_splits.stand_ins import forbid_listing, write_images


def made(root, *paths):
    """Make the empty images and, where a path ends in a slash, folders of ``paths``."""
    for name in paths:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return root


def found(root):
    """Return domain -> class -> path of the class folder below ``root``."""
    layout = class_folders(domain_folders(root))
    return {
        domain: {name: path.relative_to(root).as_posix() for name, path in row.items()}
        for domain, row in layout.items()
    }


def test_sub_folders_of_a_domain_are_its_classes(tmp_path):
    made(tmp_path, "b/dog/1.png", "b/cat/1.png", "a/cat/1.png", "a/dog/deep/1.png", ".git/x/1.png")
    assert found(tmp_path) == {
        "a": {"cat": "a/cat", "dog": "a/dog"},
        "b": {"cat": "b/cat", "dog": "b/dog"},
    }
    domains = domain_folders(tmp_path)
    assert skipped_folders(domains, class_folders(domains)) == []


def test_a_single_level_between_domain_and_class_is_skipped(tmp_path):
    made(tmp_path, "a/images/dog/1.png", "a/images/cat/1.png", "b/pics/dog/1.png", "b/pics/cat/")
    assert found(tmp_path) == {
        "a": {"cat": "a/images/cat", "dog": "a/images/dog"},
        "b": {"cat": "b/pics/cat", "dog": "b/pics/dog"},
    }
    domains = domain_folders(tmp_path)
    skipped = skipped_folders(domains, class_folders(domains))
    assert skipped == [tmp_path / "a" / "images", tmp_path / "b" / "pics"]


def test_one_domain_may_have_the_level_and_another_not(tmp_path):
    made(tmp_path, "a/images/dog/1.png", "a/images/cat/1.png", "b/dog/1.png", "b/cat/1.png")
    assert found(tmp_path)["a"] == {"cat": "a/images/cat", "dog": "a/images/dog"}
    assert found(tmp_path)["b"] == {"cat": "b/cat", "dog": "b/dog"}


def test_a_class_of_another_domain_is_no_level(tmp_path):
    made(tmp_path, "a/dog/deep/1.png", "b/dog/1.png", "b/cat/1.png")
    assert found(tmp_path)["a"] == {"dog": "a/dog"}


def test_a_folder_of_images_alone_is_a_class_everywhere(tmp_path):
    made(tmp_path, "a/dog/1.png", "b/dog/deep/1.png")
    assert found(tmp_path) == {"a": {"dog": "a/dog"}, "b": {"dog": "b/dog"}}


def test_only_one_level_is_skipped(tmp_path):
    made(tmp_path, "a/x/y/dog/1.png", "b/x/y/dog/1.png")
    assert found(tmp_path)["a"] == {"y": "a/x/y"}


def test_a_domain_may_be_empty(tmp_path):
    made(tmp_path, "a/", "b/dog/1.png")
    domains = domain_folders(tmp_path)
    assert found(tmp_path) == {"a": {}, "b": {"dog": "b/dog"}}
    assert skipped_folders(domains, class_folders(domains)) == []


def test_a_folder_of_images_and_folders_is_ambiguous(tmp_path):
    made(tmp_path, "a/images/dog/1.png", "a/images/1.png", "b/images/dog/1.png", "b/images/x/1.png")
    place = re.escape(str(tmp_path / "a" / "images"))
    for scan in (found, folder_label_counts, lambda root: verify_folder(root, None)):
        with pytest.raises(InputError, match=f"^{place} is the only folder of its domain") as error:
            scan(tmp_path)
        assert len(str(error.value).splitlines()) == 2


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    made(tmp_path, "a/dog/1.png")
    forbid_listing(monkeypatch, tmp_path / "a" / "dog")
    with pytest.raises(PermissionError):
        found(tmp_path)


def test_hidden_entries_are_not_listed(tmp_path):
    made(tmp_path, ".x/1.png", "y/1.png", ".z.png", "w.png", "notes.txt")
    assert list_folder(tmp_path) == (["y"], 1)


def test_counts_and_verification_skip_the_level(tmp_path):
    write_images(tmp_path / "flat", ("art", "book"), {"cat": 3, "dog": 2})
    for domain in ("art", "book"):
        write_images(tmp_path / "deep" / domain, ("images",), {"cat": 3, "dog": 2})
    (tmp_path / "deep" / "art" / "images" / "list.txt").touch()
    flat = folder_label_counts(tmp_path / "flat", tmp_path / "flat.json")
    for _ in range(2):  # the second time from the cache
        assert folder_label_counts(tmp_path / "deep", tmp_path / "deep.json") == flat
    (tmp_path / "deep" / "book" / "images" / "dog" / "000.png").write_bytes(b"?")
    report = verify_folder(tmp_path / "deep", None)
    assert report.images == 10
    assert report.problems == [
        "extra: art/images/list.txt lies outside the class folders",
        "broken: book/images/dog/000.png (cannot identify image file)",
    ]
    assert report.notes == [
        "the classes are the folders in art/images, book/images: that level is skipped",
        "2 domains, art, book; 2 classes",
    ]


def test_a_single_class_is_refused():
    check_class_count(["cat", "dog"], "pets")
    with pytest.raises(InputError, match=r"^pets: it has only one class, images; two are the"):
        check_class_count(["images"], "pets")
