"""``splits verify``: what is broken or absent, and what training would refuse."""

from __future__ import annotations

import re
import shutil

import pytest
from PIL import Image

from imbalance_splits.errors import InputError
from ndcl_domainbed.scripts.splits import main
from ndcl_domainbed.scripts.train import main as train
from tests.imbalance_splits.stand_ins import write_images, write_list


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "shapes", sizes={"cat": 30, "dog": 20})
    return tmp_path / "shapes"


def test_verify_reports_and_returns_a_status(images, capsys):
    assert main(["verify", str(images)]) == 0
    out = capsys.readouterr().out
    assert out == (
        "note: 3 domains, art, book, clay; 2 classes\n"
        f"{images}: 150 images, all sound; there are no published counts to compare with\n"
    )
    (images / "art" / "cat" / "000.png").write_bytes(b"?")
    assert main(["verify", str(images)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "broken: art/cat/000.png (cannot identify image file)"
    assert "150 images, 1 problem;" in out[2]


@pytest.mark.parametrize("name", ["mine.json", "mine.csv"])
def test_verify_takes_a_list_of_files(tmp_path, images, monkeypatch, capsys, name):
    path = write_list(tmp_path / name, images)
    assert main(["verify", str(path)]) == 0
    assert f"\n{path}: 90 images, all sound;" in capsys.readouterr().out
    (images / "book" / "dog" / "003.png").write_bytes(b"?")
    (images / "book" / "dog" / "004.png").unlink()
    (images / "book" / "dog" / "019.png").write_bytes(b"?")  # not in the list
    monkeypatch.chdir(images)  # so that the list is found below --data_dir only
    assert main(["verify", name, "--data_dir", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"missing: there is no file {images / 'book' / 'dog' / '004.png'}",
        f"broken: {images / 'book' / 'dog' / '003.png'} (cannot identify image file)",
        "note: 3 domains, art, book, clay; 2 classes",
        f"{path}: 89 images, 2 problems; there are no published counts to compare with",
    ]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["art/cat", "art/dog", "book/cat"], "differ in their class folders: book lacks dog"),
        (["art/cat", "art/dog", "book/cat", "book/dog -"], "book/dog holds no image"),
        (["art/cat", "art/dog"], "has 1 sub-folder(s); at least two domains are needed"),
        (["top/art/cat", "top/book/cat"], "has 1 sub-folder(s); at least two domains are needed"),
        (["art/cat", "book/cat", "docs -"], "docs has no class folders"),
        (["art -", "book -"], "art has no class folders"),
        ([], "has 0 sub-folder(s); at least two domains are needed"),
    ],
)
def test_verify_reports_what_training_refuses(tmp_path, monkeypatch, capsys, folders, message):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "wrong"
    root.mkdir()
    for name in folders:
        folder = root / name.removesuffix(" -")
        folder.mkdir(parents=True)
        if not name.endswith(" -"):
            Image.new("RGB", (4, 4)).save(folder / "1.png")
    assert main(["verify", str(root)]) == 1
    *problems, summary = capsys.readouterr().out.splitlines()
    assert problems[0].startswith("training refuses it: ")
    assert message in problems[0]
    assert " 1 problem" in summary
    with pytest.raises(InputError, match=re.escape(message)):
        train(["--dataset", str(root), "--output_dir", str(tmp_path / "run")])
    with pytest.raises(InputError):
        main(["show", str(root), "Balanced"])


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        (("book", "dog"), "differ in their classes: book lacks dog"),
        (("book", ""), "lists only the domain art; it needs two"),
    ],
)
def test_verify_reports_what_training_refuses_in_a_list(tmp_path, capsys, left_out, message):
    write_images(tmp_path, ("art", "book"), {"cat": 2, "dog": 2})
    shutil.rmtree(tmp_path.joinpath(*left_out))
    path = write_list(tmp_path / "mine.csv", tmp_path)
    assert main(["verify", str(path)]) == 1
    assert message in capsys.readouterr().out


def test_verify_of_a_named_data_set_reports_what_training_refuses(tmp_path, capsys):
    folders = ("location_100", "location_38", "location_43")
    write_images(tmp_path / "terra_incognita", folders, {"cat": 1})
    assert main(["verify", "TerraIncognita", "--data_dir", str(tmp_path)]) == 1
    assert "Missing: location_46. Not a domain: none." in capsys.readouterr().out


def test_verify_compares_a_published_data_set(tmp_path, capsys):
    write_images(tmp_path / "PACS", ("art_painting", "cartoon", "photo"), {"dog": 2})
    assert main(["verify", "PACS", "--data_dir", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "missing: no folder for domain S (sketch)\n" in out
    assert "missing: photo/dog has 2 images, 187 fewer than published\n" in out
    assert "missing: cartoon/person, a class of 405 images\n" in out
