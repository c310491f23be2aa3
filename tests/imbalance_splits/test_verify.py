import math
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from imbalance_splits import published, verify
from imbalance_splits.verify import verify_folder

COUNTS = {
    "A": {"cat": 3, "dog": 2},
    "C": {"cat": 1, "dog": 4},
    "P": {"cat": 2, "dog": 2},
    "S": {"cat": 2, "dog": 1},
}


@pytest.fixture
def pacs(tmp_path, monkeypatch):
    """A folder with all the images of a PACS of 17 images."""
    monkeypatch.setattr(verify, "label_counts", lambda dataset: COUNTS)
    write(tmp_path / "PACS", "PACS", COUNTS)
    return tmp_path / "PACS"


def write(root, dataset, counts):
    for domain, folder in published.DOMAINS[dataset].items():
        for name, count in counts[domain].items():
            (root / folder / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (8, 8), (i, 0, 0)).save(root / folder / name / f"{i}.jpg")


def test_a_complete_folder_has_no_problems(pacs):
    calls = []
    report = verify_folder(pacs, "PACS", lambda done, total: calls.append((done, total)))
    assert (report.images, report.problems, report.notes) == (17, [], [])
    assert calls[-1] == (17, 17)


def test_everything_that_is_wrong_is_named(pacs):
    shutil.rmtree(pacs / "sketch")
    shutil.rmtree(pacs / "photo" / "dog")
    (pacs / "art_painting" / "cat" / "1.jpg").unlink()
    shutil.copy(pacs / "cartoon" / "dog" / "0.jpg", pacs / "cartoon" / "dog" / "copy.jpg")
    (pacs / "cartoon" / "horse").mkdir()
    (pacs / "extras").mkdir()
    (pacs / "photo" / "cat" / "Thumbs.db").touch()
    (pacs / "photo" / "list.txt").touch()
    whole = (pacs / "cartoon" / "dog" / "1.jpg").read_bytes()
    (pacs / "cartoon" / "dog" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (pacs / "cartoon" / "dog" / "2.jpg").write_bytes(b"")
    (pacs / "cartoon" / "dog" / "3.jpg").write_bytes(b"<html>not found</html>")
    report = verify_folder(pacs, "PACS")
    broken = sorted(line for line in report.problems if line.startswith("broken"))
    assert [line.split(" (")[0] for line in broken] == [
        f"broken: cartoon/dog/{i}.jpg" for i in (1, 2, 3)
    ]
    assert broken[2].endswith("(cannot identify image file)")
    assert sorted(line for line in report.problems if not line.startswith("broken")) == [
        "extra: cartoon/dog has 5 images, 1 more than published",
        "extra: cartoon/horse is no class of the published dataset",
        "extra: extras is no domain of PACS",
        "extra: photo/cat/Thumbs.db is not an image in a class folder",
        "extra: photo/list.txt is not an image in a class folder",
        "missing: art_painting/cat has 2 images, 1 fewer than published",
        "missing: no folder for domain S (sketch)",
        "missing: photo/dog, a class of 2 images",
    ]


def test_domains_are_found_by_their_usual_folders_and_their_order_matters(pacs):
    (pacs / "aaa").mkdir()
    (pacs / "zzz").mkdir()
    extra = ["extra: aaa is no domain of PACS", "extra: zzz is no domain of PACS"]
    assert verify_folder(pacs, "PACS").problems == extra
    (pacs / "photo").rename(pacs / "Photo")
    assert verify_folder(pacs, "PACS").problems[2:] == [
        "misnamed: training takes the domains by the order of their folders, which is now Photo, "
        "art_painting, cartoon, sketch; name them art_painting, cartoon, photo, sketch"
    ]


def test_a_folder_without_published_counts(pacs):
    (pacs / "photo" / "cat" / "0.jpg").write_bytes(b"x")
    shutil.rmtree(pacs / "sketch" / "dog")
    report = verify_folder(pacs, None)
    assert [line.split(" (")[0] for line in report.problems] == ["broken: photo/cat/0.jpg"]
    assert report.images == 16
    assert report.notes == [
        "4 domains, art_painting, cartoon, photo, sketch; 2 classes",
        "domain sketch has no image of dog",
    ]


def test_notes_say_what_is_skipped_left_out_and_converted(tmp_path):
    for domain in ("art", "book"):
        for name in ("cat", "dog"):
            (tmp_path / domain / "images" / name).mkdir(parents=True)
            Image.new("RGB", (28, 28)).save(tmp_path / domain / "images" / name / "1.png")
    cat = tmp_path / "art" / "images" / "cat"
    (cat / ".ipynb_checkpoints").mkdir()
    shutil.copy(cat / "1.png", cat / ".ipynb_checkpoints" / "1-checkpoint.png")
    (cat / "._1.png").write_bytes(b"\0\5\x16\7")
    Image.fromarray(np.zeros((28, 28), np.uint16)).save(cat / "2.png")
    Image.new("RGBA", (32, 32)).save(cat / "3.png")
    Image.new("F", (28, 28)).save(cat / "4.tiff")
    report = verify_folder(tmp_path, None)
    assert [line.split(" (")[0] for line in report.problems] == ["broken: art/images/cat/4.tiff"]
    (cat / "4.tiff").unlink()
    report = verify_folder(tmp_path, None)
    assert report.problems == []
    assert report.notes == [
        "the classes are the folders in art/images, book/images: that level is skipped",
        "left out, as hidden or left behind by a system: art/images/cat/._1.png, "
        "art/images/cat/.ipynb_checkpoints",
        "2 domains, art, book; 2 classes",
        "16-bit gray: scaled to 8 bits (1: art/images/cat/2.png)",
        "transparency: on white (1: art/images/cat/3.png)",
        f"images are used at 224×224: not all are 28×28 or 32×32: {cat / '3.png'} is 32×32",
    ]


def test_links_that_lead_nowhere_and_files_that_are_there_twice(pacs):
    (pacs / "photo" / "cat" / "9.jpg").symlink_to(pacs / "photo" / "cat" / "gone.jpg")
    (pacs / "photo" / "dog" / "9.jpg").symlink_to(pacs / "photo" / "cat" / "0.jpg")
    assert verify_folder(pacs, None).problems == [
        "broken: photo/cat/9.jpg is a link that leads nowhere, or to a folder that contains it",
        "twice: photo/dog/9.jpg is the same file as photo/cat/0.jpg",
    ]


def test_the_images_of_pacs_under_another_name_are_recognized(tmp_path, monkeypatch):
    write(tmp_path / "own", "PACS", COUNTS)
    monkeypatch.setattr(published, "label_counts", lambda dataset: COUNTS)
    notes = verify_folder(tmp_path / "own", None).notes
    assert any("domains and label counts of PACS" in note for note in notes)
    os.remove(tmp_path / "own" / "photo" / "cat" / "0.jpg")  # noqa: PTH107
    assert not any("of PACS" in note for note in verify_folder(tmp_path / "own", None).notes)


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_vlcs_may_be_the_subset_or_whole(tmp_path, monkeypatch, share):
    counts = {d: {"bird": 7 + i, "car": 14} for i, d in enumerate("CLVS")}
    monkeypatch.setattr(verify, "label_counts", lambda dataset: counts)
    sizes = {d: {k: math.floor(n / share) for k, n in row.items()} for d, row in counts.items()}
    write(tmp_path / "VLCS", "VLCS", sizes)
    report = verify_folder(tmp_path / "VLCS", "VLCS")
    assert report.problems == []
    assert [note.split(";")[0] for note in report.notes] == (
        ["the published counts are those of a 70% subset"] if share < 1 else []
    )
    shutil.rmtree(tmp_path / "VLCS" / "SUN09" / "car")
    problems = verify_folder(tmp_path / "VLCS", "VLCS").problems
    assert "missing: SUN09/car, a class of 14 images" in problems


def test_a_domainnet_without_the_duplicates_is_recognized(tmp_path, monkeypatch):
    counts = {d: {"bee": 3} for d in published.DOMAINS["DomainNet"]}
    write(tmp_path / "domain_net", "DomainNet", counts)
    monkeypatch.setattr(verify, "label_counts", lambda dataset: counts)
    assert verify_folder(tmp_path / "domain_net", "DomainNet").notes == []
    (tmp_path / "domain_net" / "clipart" / "bee" / "0.jpg").unlink()
    report = verify_folder(tmp_path / "domain_net", "DomainNet")
    assert len(report.problems) == 1
    assert report.notes[0].startswith("the published counts are those of all 596,006 images")
