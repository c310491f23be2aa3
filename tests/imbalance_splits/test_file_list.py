from __future__ import annotations

import json

import pytest

from imbalance_splits.errors import InputError
from imbalance_splits.file_list import read_file_list

ENTRIES = [
    ("photo", "dog", "p/2.png"),
    ("art", "dog", "a/9.png"),
    ("photo", "cat", "p/3.png"),
    ("photo", "dog", "p/1.png"),
    ("art", "cat", "a/8.png"),
]


@pytest.fixture
def folder(tmp_path):
    for _, _, file in ENTRIES:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    return tmp_path


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def forms(folder):
    keys = ("domain", "class", "file")
    lines = ["file,extra,domain,class", *(f"{f},x,{d},{c}" for d, c, f in ENTRIES)]
    return [
        write(folder / "list.csv", "\n".join(lines)),
        write(folder / "objects.json", [dict(zip(keys, item, strict=True)) for item in ENTRIES]),
        write(folder / "triples.json", ENTRIES),
    ]


def test_the_three_forms_say_the_same(folder):
    first, second, third = map(read_file_list, forms(folder))
    assert first == second == third
    assert first.classes == ("cat", "dog")
    assert first.label_counts() == {"art": {"cat": 1, "dog": 1}, "photo": {"cat": 1, "dog": 2}}


def test_an_image_is_the_same_by_its_absolute_path(folder, monkeypatch):
    monkeypatch.chdir(folder)
    write(folder / "list.csv", f"domain,class,file\nart,x,a/9.png\nart,y,{folder}/a/9.png\n")
    with pytest.raises(InputError, match=r"line 3: .*9.png occurs twice, first in .*line 2"):
        read_file_list("list.csv")


def test_file_names_may_have_any_line_separator(folder):
    names = ["a/x\u2028y.png", "a/x\x0by.png", "a/x\ny.png"]
    for name in names:
        (folder / name).touch()
    lines = [f'art,dog,"{name}"' for name in names]
    listed = read_file_list(write(folder / "list.csv", "\n".join(["domain,class,file", *lines])))
    assert {str(path) for path, _ in listed.domains["art"]} == {f"{folder}/{n}" for n in names}


def test_absent_files_may_be_left_out_and_named(folder):
    (folder / "p/3.png").unlink()
    for path in forms(folder):
        absent = []
        listed = read_file_list(path, absent)
        assert absent == [folder / "p/3.png"]
        assert listed.label_counts() == {"art": {"cat": 1, "dog": 1}, "photo": {"dog": 2}}


def test_images_are_sorted_as_in_a_folder(folder):
    listed = read_file_list(forms(folder)[0])
    assert list(listed.domains) == ["art", "photo"]
    assert listed.domains["photo"] == [
        (folder / "p/3.png", "cat"),
        (folder / "p/1.png", "dog"),
        (folder / "p/2.png", "dog"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("domain,class\n", "the first line must name the columns domain,class,file; missing: file"),
        ("domain,class,file\n", "no images in the list"),
        ("domain,class,file\nart,dog\n", "line 2: it needs a domain, a class and a file"),
        ("domain,class,file\nart, ,a/9.png\n", "line 2: it needs a domain"),
        ("domain,class,file\nart,dog,a/0.png\n", "line 2: there is no file .*0.png"),
        (
            "domain,class,file\nart,dog,a/9.png\nphoto,dog,a/9.png\n",
            "line 3: a/9.png occurs twice, first in .*line 2",
        ),
        (
            "domain,class,file\nart,dog,a/9.png\nphoto,dog,p/../a/9.png\n",
            "line 3: p/../a/9.png occurs twice, first in .*line 2",
        ),
    ],
)
def test_a_csv_that_cannot_be_used(folder, content, message):
    with pytest.raises(InputError, match=message):
        read_file_list(write(folder / "list.csv", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "line 1: not JSON"),
        ({}, "expected a list"),
        ([], "no images in the list"),
        ([["art", "dog"]], "entry 1: it needs a domain"),
        ([3], "entry 1: it needs a domain"),
        (
            [["art", "dog", "a/9.png"], {"domain": "art", "class": 7, "file": "x"}],
            "entry 2: it needs",
        ),
    ],
)
def test_json_that_cannot_be_used(folder, content, message):
    with pytest.raises(InputError, match=message):
        read_file_list(write(folder / "list.json", content))


def test_a_list_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_file_list(tmp_path / "none.csv")
    (tmp_path / "b.json").write_bytes(b"\xff\xff")
    with pytest.raises(InputError, match="not text in UTF-8"):
        read_file_list(tmp_path / "b.json")
