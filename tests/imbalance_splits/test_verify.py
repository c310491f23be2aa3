from __future__ import annotations

import math
import shutil

import pytest
from PIL import Image

from imbalance_splits import published, verify
from imbalance_splits.errors import InputError
from imbalance_splits.verify import verify_folder, verify_list
from tests.imbalance_splits.stand_ins import forbid_listing

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
    names = zip(published.ENVIRONMENTS[dataset], published.FOLDERS[dataset], strict=True)
    for domain, folder in names:
        for name, count in counts[domain].items():
            (root / folder / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (8, 8), (i, 0, 0)).save(root / folder / name / f"{i}.jpg")


def test_a_complete_folder_has_no_problems(pacs):
    calls = []
    report = verify_folder(pacs, "PACS", lambda done, total: calls.append((done, total)))
    assert report.problems == []
    assert report.notes == []
    assert report.images == 17
    assert calls[-1] == (17, 17)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


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
    broken = sorted(line.split(" (")[0] for line in report.problems if line.startswith("broken"))
    assert broken == [f"broken: cartoon/dog/{i}.jpg" for i in (1, 2, 3)]
    assert sorted(line for line in report.problems if not line.startswith("broken")) == [
        "extra: cartoon/dog has 5 images, 1 more than published",
        "extra: cartoon/horse is no class of the published dataset",
        "extra: extras is no domain of PACS",
        "extra: photo/cat/Thumbs.db is no image",
        "extra: photo/list.txt lies outside the class folders",
        "missing: art_painting/cat has 2 images, 1 fewer than published",
        "missing: no folder for domain S (sketch)",
        "missing: photo/dog, a class of 2 images",
    ]


def test_reasons_do_not_repeat_the_path(pacs):
    (pacs / "photo" / "cat" / "0.jpg").write_bytes(b"x")
    (line,) = verify_folder(pacs, "PACS").problems
    assert line == "broken: photo/cat/0.jpg (cannot identify image file)"


def test_the_usual_folder_comes_before_others_with_its_first_letter(pacs):
    (pacs / "aaa").mkdir()
    (pacs / "zzz").mkdir()
    report = verify_folder(pacs, "PACS")
    assert report.problems == ["extra: aaa is no domain of PACS", "extra: zzz is no domain of PACS"]


def test_folders_that_sort_in_another_order_are_named(pacs):
    (pacs / "photo").rename(pacs / "Photo")
    assert verify_folder(pacs, "PACS").problems == [
        "misnamed: training takes the domains by the order of their folders, which is now Photo, "
        "art_painting, cartoon, sketch; name them art_painting, cartoon, photo, sketch"
    ]


def test_a_data_set_without_published_counts_is_decoded(pacs):
    (pacs / "more").mkdir()
    (pacs / "photo" / "cat" / "0.jpg").write_bytes(b"x")
    report = verify_folder(pacs, None)
    assert len(report.problems) == 1
    assert report.images == 17


def listed(tmp_path, names):
    lines = [f"d,c,{name}" for name in names]
    (tmp_path / "list.csv").write_text("\n".join(["domain,class,file", *lines]))
    return tmp_path / "list.csv"


def test_the_files_of_a_list_are_decoded(tmp_path):
    for name in ("a.png", "b", "other.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, format="png")
    (tmp_path / "other.png").write_bytes(b"?")  # not in the list
    calls = []
    report = verify_list(
        listed(tmp_path, ["a.png", "b"]), lambda done, total: calls.append((done, total))
    )
    assert (report.images, report.problems) == (2, [])
    assert calls == [(1, 2), (2, 2)]


def test_every_absent_or_broken_file_of_a_list_is_named(tmp_path):
    (tmp_path / "x.png").write_bytes(b"?")
    (tmp_path / "y.png").write_bytes(b"?")
    report = verify_list(listed(tmp_path, ["x.png", "n1.png", "y.png", "n2.png"]))
    assert report.images == 2
    assert report.unread == [tmp_path / f"{name}.png" for name in ("n1", "n2", "x", "y")]
    assert report.problems == [
        f"missing: there is no file {tmp_path / 'n1.png'}",
        f"missing: there is no file {tmp_path / 'n2.png'}",
        f"broken: {tmp_path / 'x.png'} (cannot identify image file)",
        f"broken: {tmp_path / 'y.png'} (cannot identify image file)",
    ]


def test_a_list_of_absent_files_alone(tmp_path):
    report = verify_list(listed(tmp_path, ["n.png"]))
    assert (report.images, len(report.problems)) == (0, 1)


def test_a_list_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read as a list of files"):
        verify_list(tmp_path / "none.csv")


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


def test_a_domainnet_without_the_duplicates_is_recognised(tmp_path, monkeypatch):
    counts = {d: {"bee": 3} for d in published.ENVIRONMENTS["DomainNet"]}
    write(tmp_path / "domain_net", "DomainNet", counts)
    monkeypatch.setattr(verify, "label_counts", lambda dataset: counts)
    assert verify_folder(tmp_path / "domain_net", "DomainNet").notes == []
    (tmp_path / "domain_net" / "clipart" / "bee" / "0.jpg").unlink()
    (tmp_path / "domain_net" / "painting" / "bee" / "0.jpg").unlink()
    report = verify_folder(tmp_path / "domain_net", "DomainNet")
    assert len(report.problems) == 2
    assert [note.split(";")[0] for note in report.notes] == [
        "the published counts are those of all 596,006 images"
    ]


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        verify_folder(tmp_path / "PACS", "PACS")


def test_a_folder_that_may_not_be_read_is_named(pacs, monkeypatch):
    forbid_listing(monkeypatch, pacs / "cartoon")
    with pytest.raises(InputError, match=r"cartoon: cannot be read \(Permission denied\)"):
        verify_folder(pacs, "PACS")


def test_a_folder_of_images_that_may_not_be_read_is_named(pacs, monkeypatch):
    forbid_listing(monkeypatch, pacs / "cartoon" / "cat")
    with pytest.raises(InputError, match=r"cat: cannot be read \(Permission denied\)"):
        verify_folder(pacs, None)
