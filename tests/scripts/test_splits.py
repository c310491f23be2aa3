from __future__ import annotations

import json
import subprocess
import sys

import pytest
from PIL import Image

from imbalance_splits.errors import InputError
from imbalance_splits.make_table import table_for
from imbalance_splits.published import published_table
from imbalance_splits.table import SplitTable
from ndcl_domainbed.scripts.splits import main
from tests.imbalance_splits.stand_ins import write_images, write_list


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "shapes", sizes={"cat": 30, "dog": 20})
    return tmp_path / "shapes"


def made(tmp_path, *argv):
    """Return the table that ``make`` writes."""
    assert main(["make", *map(str, argv), "--output", str(tmp_path / "t.json")]) == 0
    data = json.loads((tmp_path / "t.json").read_text())
    return SplitTable.from_json(data, "t.json")


def test_list_names_every_table_and_setting(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    authors, ours = out.split("Published tables, made for this package:\n")
    assert authors.startswith("Published tables, by the authors of NDCL:\n")
    assert "  OfficeHome       Cross, Duality, TotalHeavyTail\n" in authors
    assert "  Office31         Cross, Duality, TotalHeavyTail\n" in ours
    for name in ("Balanced", "Cross", "Duality", "Exponential", "GINIDG"):
        assert f"\n  {name} " in out
    assert "FromFile" not in out
    assert "the path of a table of your own, .json or .csv" in out
    assert "parameters: validation, q, lower, c, middle_range, seed" in out


def test_show_prints_one_target_or_all(capsys):
    assert main(["show", "PACS", "TotalHeavyTail", "--target", "S"]) == 0
    one = capsys.readouterr().out
    assert "Target S" in one
    assert "Target A" not in one
    assert main(["show", "PACS", "TotalHeavyTail"]) == 0
    assert one.split("\n\n", 1)[1] in capsys.readouterr().out


def test_make_from_a_folder_takes_every_parameter(tmp_path, images, capsys):
    table = made(
        tmp_path, images, "Duality", "--c", 2, "--q", 0.1, "--validation", 3, "--lower", 2,
        "--middle_range", 8, 9, "--seed", 4, "--many", 6, "--few", 4.5,
    )  # fmt: skip
    assert "3 domains, 2 classes, from imbalance_splits" in capsys.readouterr().out
    assert (table.dataset, table.domains) == ("shapes", ("art", "book", "clay"))
    assert table.provenance == {
        "generator": "imbalance_splits",
        "version": 1,
        "parameters": {
            "validation": 3,
            "q": 0.1,
            "lower": 2,
            "c": 2.0,
            "middle_range": [8, 9],
        },
        "seed": 4,
    }
    assert {(t.many, t.few) for t in table.thresholds.values()} == {(6, 4.5)}
    assert set(table.validation_per_class.values()) == {3}
    counts = {d: {"cat": 30, "dog": 20} for d in table.domains}
    given = {"validation": 3, "q": 0.1, "lower": 2, "c": 2.0, "middle_range": (8, 9), "seed": 4}
    assert table.train_counts == table_for("shapes", "Duality", counts, given).train_counts


def test_default_thresholds_of_two_classes_may_be_given_to_make(tmp_path, images):
    table = made(tmp_path, images, "TotalHeavyTail")
    for limits in set(table.thresholds.values()):
        again = made(tmp_path, images, "TotalHeavyTail", "--many", limits.many, "--few", limits.few)
        assert limits in again.thresholds.values()


@pytest.mark.parametrize(("flag", "value"), [("--middle", 0.5), ("--factor", 7.0)])
def test_make_passes_the_parameter_of_one_setting(tmp_path, images, flag, value):
    setting = {"--middle": "Cross", "--factor": "Exponential"}[flag]
    table = made(tmp_path, images, setting, flag, value)
    assert table.provenance["parameters"][flag.strip("-")] == value


def test_make_from_a_list_of_files(tmp_path, images):
    table = made(tmp_path, write_list(tmp_path / "mine.json", images), "Balanced")
    assert table.dataset == "mine"
    assert table.counts("art").tolist() == [[8, 8], [8, 8]]


def test_a_list_of_files_is_found_below_data_dir_as_in_training(tmp_path, images):
    write_list(images.parent / "mine.json", images)
    table = made(tmp_path, "mine.json", "Balanced", "--data_dir", images.parent)
    assert table.dataset == "mine"


def test_make_of_a_published_pair_writes_it_or_varies_it(tmp_path, capsys):
    table = made(tmp_path, "VLCS", "Cross")
    assert table.train_counts == published_table("VLCS", "Cross").train_counts
    assert "Alrash/NDCL" in capsys.readouterr().out
    varied = made(tmp_path, "VLCS", "Cross", "--middle", 0.1)
    assert varied.train_counts != table.train_counts
    assert varied.provenance["parameters"]["c"] == 3.0


def test_a_folder_called_like_a_published_data_set_is_counted(tmp_path):
    write_images(tmp_path / "PACS", sizes={"cat": 30, "dog": 20})
    table = made(tmp_path, tmp_path / "PACS", "TotalHeavyTail")
    assert table.domains == ("art", "book", "clay")


def test_make_counts_a_named_data_set_below_data_dir(tmp_path):
    folders = ("location_100", "location_38", "location_43", "location_46")
    write_images(tmp_path / "terra_incognita", folders, {"cat": 12, "dog": 9})
    table = made(tmp_path, "TerraIncognita", "Balanced", "--data_dir", tmp_path)
    assert table.domains == ("L100", "L38", "L43", "L46")
    assert set(table.counts("L38").ravel()) == {int(0.8 * (9 - 5))}


def test_data_dir_asks_for_a_table_of_the_images_that_are_there(tmp_path):
    folders = ("art_painting", "cartoon", "photo", "sketch")
    write_images(tmp_path / "PACS", folders, {"cat": 30, "dog": 20})
    table = made(tmp_path, "PACS", "TotalHeavyTail", "--data_dir", tmp_path)
    assert table.domains == ("A", "C", "P", "S")
    assert table.classes == ("cat", "dog")
    assert table.provenance["parameters"]["validation"] == 15  # as in the published table


def test_make_counts_a_data_set_that_has_no_folder(tmp_path):
    table = made(tmp_path, "Debug28", "Balanced", "--validation", 0, "--lower", 0)
    assert table.classes == ("0", "1")
    assert len(table.domains) == 3


def test_a_made_table_is_shown_and_drawn(tmp_path, images, capsys):
    made(tmp_path, images, "TotalHeavyTail")
    capsys.readouterr()
    assert main(["show", str(images), str(tmp_path / "t.json"), "--target", "book"]) == 0
    assert capsys.readouterr().out.startswith("shapes TotalHeavyTail\nGenerated with validation 5")
    picture = tmp_path / "t.png"
    assert main(["plot", str(images), str(tmp_path / "t.json"), "--output", str(picture)]) == 0
    with Image.open(picture) as image:
        assert min(image.size) > 300


def test_a_table_in_csv_is_checked_against_the_data_set(tmp_path, images):
    (tmp_path / "mine.csv").write_text(
        "target,source,class,count\nart,book,cat,9\nart,book,dog,2\n"
        "art,clay,cat,3\nart,clay,dog,21\n"
    )
    with pytest.raises(InputError, match="class dog: 21 images asked for, 20 there"):
        main(["show", str(images), str(tmp_path / "mine.csv")])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["show", "PACS", "Total"], "unknown setting 'Total'; did you mean 'TotalHeavyTail'"),
        (["show", "PACS", "FromFile"], r"give the path of a table \(.json, .csv\) in place of"),
        (["show", "PACS", "Cross", "--target", "X"], "unknown target 'X'. There are: A, C, P, S"),
        (["show", "PAKS", "Cross"], "unknown dataset 'PAKS'; did you mean 'PACS'"),
        (["show", "PACS", "none.json"], "none.json: cannot be read as a split table"),
        (["make", "PACS", "Cross", "--output", "t.txt"], "the table is written as .json"),
        (
            ["make", "PACS", "Balanced", "--c", "3", "--output", "t.json"],
            "unknown parameter of Balanced 'c'",
        ),
        (["make", "PACS", "Cross", "--c", "1", "--output", "t.json"], "c is 1.0; it must be > 1"),
        (
            ["make", "PACS", "Cross", "--many", "1", "--few", "2", "--output", "t.json"],
            "Many above 1 and Few below 2 overlap",
        ),
        (["make", "TerraIncognita", "Cross", "--output", "t.json"], "no folder .*--data_dir"),
        (["show", "OfficeHome", "GINIDG"], "it has: PACS, VLCS"),
        (["show", "", "Cross"], "^DATASET is empty: give a dataset's name, a folder"),
        (["verify", " "], "^DATASET is empty"),
        (["verify", "PACS", "--data_dir", "none"], "no folder none/PACS"),
        (["verify", "none.json"], "unknown dataset 'none.json'.*\nAny other name must be the path"),
        (["verify", "DigitsDG"], "DigitsDG has no folder of images"),
    ],
)
def test_bad_input_is_an_error_of_two_lines(tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        main(argv)
    assert len(str(caught.value).splitlines()) <= 2
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


@pytest.mark.parametrize(
    "argv", [[], ["make", "PACS", "Cross"], ["show", "PACS", "C", "--targ", "A"]]
)
def test_usage_errors_leave_with_status_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


def test_help_and_show_do_not_import_torch():
    code = (
        "import sys\n"
        "from ndcl_domainbed.scripts.splits import main\n"
        "main(['show', 'PACS', 'Cross', '--target', 'A'])\n"
        "print(sorted({'torch', 'scipy', 'pandas'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "[]"
