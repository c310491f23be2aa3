"""The one scanner of folders: which are the domains and classes, what counts, what is left out."""

import os
import re

import pytest
from torchvision.datasets.folder import IMG_EXTENSIONS, ImageFolder

from imbalance_splits.errors import InputError
from imbalance_splits.image_tree import IMAGE_EXTENSIONS, scan_images
from tests.imbalance_splits.stand_ins import forbid_listing


def made(root, *paths):
    """Make the empty files and, where a path ends in a slash, folders of ``paths``."""
    for name in paths:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return root


def layout(root):
    """Return domain -> class -> path of the class folder below ``root``."""
    return {
        domain: {name: path.relative_to(root).as_posix() for name, path in row.items()}
        for domain, row in scan_images(root).layout.items()
    }


def test_images_are_torchvisions_in_its_order(tmp_path):
    assert IMAGE_EXTENSIONS == IMG_EXTENSIONS
    deep = ("a/x/deep/er/B.JPEG", "a/x/deep/9.tiff", "a/x/deep-er/10.tif", "a/x/deep/er/a.webp")
    made(tmp_path, "a/y/2.png", "a/y/10.PNG", "b/x/1.pgm", "b/y/1.png", "a/x/notes.txt", *deep)
    tree = scan_images(tmp_path)
    for domain in ("a", "b"):
        theirs = ImageFolder(tmp_path / domain)
        ours = [(p, k) for k, files in enumerate(tree.images[domain].values()) for p in files]
        assert ours == theirs.samples
    assert tree.stray == ["a/x/notes.txt"]
    assert tree.label_counts() == {"a": {"x": 4, "y": 2}, "b": {"x": 1, "y": 1}}


def test_a_class_that_a_domain_lacks_has_no_images_there(tmp_path):
    tree = scan_images(made(tmp_path, "a/cat/1.png", "b/dog/1.png", "b/cat/1.png", "b/owl/"))
    assert tree.label_counts() == {
        "a": {"cat": 1, "dog": 0, "owl": 0},
        "b": {"cat": 1, "dog": 1, "owl": 0},
    }


@pytest.mark.parametrize(
    "leftover",
    [
        *("a/cat/.ipynb_checkpoints/1-checkpoint.png", "a/cat/._1.png", ".git/x/1.png"),
        *("a/.thumbs/1.png", "a/cat/@eaDir/1.png", "__MACOSX/cat/1.png", "lost+found/"),
        "b/dog/$RECYCLE.BIN/1.png",
    ],
)
def test_what_editors_and_systems_leave_behind_is_left_out(tmp_path, leftover):
    paths = ("a/cat/1.png", "a/dog/1.png", "b/cat/1.png", "b/dog/1.png")
    tree = scan_images(made(tmp_path, *paths, leftover))
    assert tree.label_counts() == {"a": {"cat": 1, "dog": 1}, "b": {"cat": 1, "dog": 1}}
    assert len(tree.left_out) == 1
    assert leftover.startswith(tree.left_out[0])


def test_a_pipe_is_left_out_and_not_read(tmp_path):
    root = made(tmp_path, "a/cat/1.png", "b/cat/1.png")
    os.mkfifo(root / "a" / "cat" / "2.png")
    (root / "b" / "cat" / "2.png").symlink_to(root / "a" / "cat" / "2.png")
    tree = scan_images(root)
    assert tree.label_counts() == {"a": {"cat": 1}, "b": {"cat": 1}}
    assert tree.left_out == ["a/cat/2.png", "b/cat/2.png"]


def test_links_are_followed_unless_they_lead_nowhere_or_round_in_circles(tmp_path):
    root = made(tmp_path / "set", "a/cat/1.png", "b/cat/1.png", "b/dog/1.png")
    made(tmp_path, "elsewhere/2.png")
    (root / "a" / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "cat" / "3.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    tree = scan_images(root)
    assert tree.label_counts() == {"a": {"cat": 2, "dog": 1}, "b": {"cat": 1, "dog": 1}}
    assert tree.has_links
    assert tree.broken == []
    (root / "a" / "cat" / "4.png").symlink_to(tmp_path / "gone.png")
    (root / "b" / "dog" / "up").symlink_to(root / "b")
    (root / "b" / "cat" / "top").symlink_to("/")
    (root / "a" / "cat" / "to_b").symlink_to(root / "b" / "cat")
    (root / "b" / "cat" / "to_a").symlink_to(root / "a" / "cat")
    (root / "b" / "dog" / "self").symlink_to(root / "b" / "dog" / "self")
    assert scan_images(root).broken == [
        *("a/cat/4.png", "a/cat/to_b/to_a", "a/cat/to_b/top"),
        *("b/cat/to_a/4.png", "b/cat/to_a/to_b", "b/cat/top", "b/dog/self", "b/dog/up"),
    ]
    assert scan_images(root).label_counts() == {
        "a": {"cat": 3, "dog": 1},
        "b": {"cat": 3, "dog": 1},
    }


def test_a_single_level_between_domain_and_class_is_skipped(tmp_path):
    made(tmp_path, "a/images/dog/1.png", "a/images/cat/1.png", "b/pics/dog/1.png", "b/pics/cat/")
    made(tmp_path, "c/dog/1.png", "c/cat/1.png", "a/images/list.txt")
    assert layout(tmp_path) == {
        "a": {"cat": "a/images/cat", "dog": "a/images/dog"},
        "b": {"cat": "b/pics/cat", "dog": "b/pics/dog"},
        "c": {"cat": "c/cat", "dog": "c/dog"},
    }
    assert scan_images(tmp_path).skipped == ["a/images", "b/pics"]
    assert scan_images(tmp_path).stray == ["a/images/list.txt"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/dog/deep/1.png", "b/dog/1.png", "b/cat/1.png"], {"dog": "a/dog"}),
        (["a/dog/1.png", "b/dog/deep/1.png"], {"dog": "a/dog"}),
        (["a/x/y/dog/1.png", "b/x/y/dog/1.png"], {"y": "a/x/y"}),
        (["a/", "b/dog/1.png"], {}),
    ],
    ids=["a class of another domain", "images alone", "one level only", "empty"],
)
def test_which_folders_are_the_classes(tmp_path, paths, expected):
    assert layout(made(tmp_path, *paths))["a"] == expected


def test_a_folder_of_images_and_folders_is_ambiguous(tmp_path):
    made(tmp_path, "a/images/dog/1.png", "a/images/1.png", "b/images/dog/1.png")
    place = re.escape(str(tmp_path / "a" / "images"))
    with pytest.raises(InputError, match=f"^{place} is the only folder of its domain") as error:
        scan_images(tmp_path)
    assert len(str(error.value).splitlines()) == 2


def test_folders_that_cannot_be_scanned(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"no folder .*none"):
        scan_images(tmp_path / "none")
    with pytest.raises(InputError, match="no folders in it"):
        scan_images(made(tmp_path, "empty/.hidden/") / "empty")
    name = os.fsdecode(b"n\xe4me")  # not Unicode
    assert scan_images(made(tmp_path, f"{name}/a/x/1.png") / name).label_counts() == {"a": {"x": 1}}
    with pytest.raises(InputError, match=r"name of .*latin.*n\\udce4me is not UTF-8: rename it"):
        scan_images(made(tmp_path, f"latin/a/{name}/1.png") / "latin")
    forbid_listing(monkeypatch, made(tmp_path, "set/a/dog/1.png") / "set" / "a" / "dog")
    with pytest.raises(InputError, match=r"cannot read the folder .*dog \(Permission denied\)"):
        scan_images(tmp_path / "set")
