import json

import pytest

from imbalance_splits.errors import InputError
from imbalance_splits.file_list import read_file_list

ENTRIES = [
    ("photo", "dog", "p/2.png", "train"),
    ("art", "dog", "a/9.png", "test"),
    ("photo", "cat", "p/3.png", "val"),
    ("photo", "dog", "p/1.png", "Train "),
    ("art", "cat", "a/8.png", "val"),
]
KEYS = ("domain", "class", "file", "split")


@pytest.fixture
def folder(tmp_path):
    for _, _, file, _ in ENTRIES:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    return tmp_path


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def forms(folder, fields=3):
    """Write the same list in three forms, with or without its split."""
    lines = [",".join(reversed(KEYS[:fields]))]
    lines += [",".join(reversed(entry[:fields])) for entry in ENTRIES]
    objects = [dict(zip(KEYS[:fields], item, strict=False)) for item in ENTRIES]
    return [
        write(folder / "list.csv", "\n".join(lines)),
        write(folder / "objects.json", objects),
        write(folder / "lists.json", [item[:fields] for item in ENTRIES]),
    ]


def test_the_three_forms_are_the_same_list_sorted_as_a_folder(folder):
    first, second, third = map(read_file_list, forms(folder))
    assert first == second == third
    assert first.classes == ("cat", "dog")
    assert not first.has_split
    assert first.label_counts() == {"art": {"cat": 1, "dog": 1}, "photo": {"cat": 1, "dog": 2}}
    assert list(first.domains) == ["art", "photo"]
    assert first.domains["photo"] == [
        (folder / "p/3.png", "cat", ""),
        (folder / "p/1.png", "dog", ""),
        (folder / "p/2.png", "dog", ""),
    ]


def test_a_split_column_is_read_in_every_form(folder):
    first, second, third = (read_file_list(path) for path in forms(folder, fields=4))
    assert first == second == third
    assert first.has_split
    assert [image.part for image in first.domains["photo"]] == ["val", "train", "train"]


def test_a_domain_may_lack_a_class(folder):
    listed = read_file_list(write(folder / "l.json", [entry[:3] for entry in ENTRIES[:3]]))
    assert listed.label_counts() == {"art": {"cat": 0, "dog": 1}, "photo": {"cat": 1, "dog": 1}}


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
    assert {str(image.file) for image in listed.domains["art"]} == {f"{folder}/{n}" for n in names}


def test_absent_files_may_be_left_out_and_named(folder):
    (folder / "p/3.png").unlink()
    absent = []
    listed = read_file_list(forms(folder)[0], absent)
    assert absent == [folder / "p/3.png"]
    assert listed.label_counts()["photo"] == {"cat": 0, "dog": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("domain,class\n", "line 1: missing columns: file; unknown columns: -"),
        ("domain,class,file,fold\n", "unknown columns: fold.\n.*are domain, class, file, split"),
        ("domain,class,file,Split\n", "unknown columns: Split"),
        ("domain,class,file,split,split\n", "columns that occur twice: split"),
        ("domain,class,file\nart,dog,a,9.png\n", "line 2: more fields than columns"),
        ("domain,class,file\n", "no images in the list"),
        ("domain,class,file\nart,dog\n", "line 2: it needs a domain, a class and a file"),
        ("domain,class,file\nart, ,a/9.png\n", "line 2: it needs a domain"),
        ("domain,class,file\nart,dog,a/0.png\n", "line 2: there is no file .*0.png"),
        (
            "domain,class,file\nart,dog,a/9.png\nphoto,dog,p/../a/9.png\n",
            "line 3: p/../a/9.png occurs twice, first in .*line 2",
        ),
        ('file,domain,class\na/9.png,art,"dog\np/1.png,photo,cat\n', "line [23]: not CSV"),
        (f"domain,class,file\nart,dog,{'x' * 300}.png\n", "line 2: cannot look for the file x"),
        ("domain,class,file,split\nart,dog,a/9.png,training\n", "split 'training' is not one of"),
        ("domain,class,file,split\nart,dog,a/9.png,\n", "split '' is not one of train, val, test"),
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
        ([["art", "dog"]], "entry 1: expected a domain"),
        ([3], "entry 1: expected a domain"),
        ([["art", "dog", "a/9.png"], {"domain": "a", "class": 7, "file": "x"}], "entry 2: it need"),
        ([{"domain": "art", "class": "dog", "file": "a/9.png", "set": "val"}], "fields: set"),
        ([["art", "dog", "a/9.png", "val"], ["art", "cat", "a/8.png"]], "others have none"),
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
