"""The command ``splits``: list, show, make and plot."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from imbalance_splits.errors import InputError
from imbalance_splits.make_table import generate_table, table_for
from imbalance_splits.published import published_table
from imbalance_splits.table import SplitTable
from ndcl_domainbed.scripts.splits import main
from tests.imbalance_splits.stand_ins import write_images, write_list

PACS = ("art_painting", "cartoon", "photo", "sketch")


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
    flags = ("--c", 2, "--q", 0.1, "--validation", 3, "--lower", 2, "--middle_range", 8, 9,
             "--seed", 4)  # fmt: skip
    table = made(tmp_path, images, "Duality", *flags, "--many", 6, "--few", 4.5)
    assert "3 domains, 2 classes, from imbalance_splits" in capsys.readouterr().out
    assert (table.dataset, table.domains) == ("shapes", ("art", "book", "clay"))
    parameters = {"validation": 3, "q": 0.1, "lower": 2, "c": 2.0, "middle_range": [8, 9]}
    assert table.provenance == {
        "generator": "imbalance_splits",
        "version": 1,
        "parameters": parameters,
        "seed": 4,
    }
    assert {(t.many, t.few) for t in table.thresholds.values()} == {(6, 4.5)}
    assert set(table.validation_per_class.values()) == {3}
    counts = {d: {"cat": 30, "dog": 20} for d in table.domains}
    given = {**parameters, "middle_range": (8, 9), "seed": 4}
    assert table.train_counts == table_for("shapes", "Duality", counts, given).train_counts
    inline = "Duality:c=2,q=0.1,validation=3,lower=2,middle_range=8,9,seed=4"
    assert made(tmp_path, images, inline).train_counts == table.train_counts


def test_make_from_a_list_of_files_that_lies_where_training_looks_for_it(tmp_path, images):
    write_list(tmp_path / "mine.json", images)
    for name, flags in ((tmp_path / "mine.json", []), ("mine.json", ["--data_dir", tmp_path])):
        table = made(tmp_path, name, "Balanced", *flags)
        assert table.dataset == "mine"
        assert table.counts("art").tolist() == [[8, 8], [8, 8]]


def test_make_of_a_published_pair_writes_it_or_varies_it(tmp_path, capsys):
    table = made(tmp_path, "VLCS", "Cross")
    assert table.train_counts == published_table("VLCS", "Cross").train_counts
    assert "Alrash/NDCL" in capsys.readouterr().out
    varied = made(tmp_path, "VLCS", "Cross", "--middle", 0.1)
    assert varied.train_counts != table.train_counts
    assert varied.provenance["parameters"]["c"] == 3.0
    assert varied.provenance["label_counts"].startswith("authors of NDCL")


def test_show_and_make_use_the_table_that_training_uses(tmp_path, monkeypatch, capsys):
    """Also with --data_dir, which says where the dataset lies and nothing else."""
    counts = {d: dict.fromkeys(("cat", "dog"), 30) for d in "ACPS"}
    table = generate_table("PACS", "Cross", counts)
    shipped = {"PACS": counts}
    monkeypatch.setattr("imbalance_splits.published.label_counts", shipped.__getitem__)
    monkeypatch.setattr("imbalance_splits.published.published_table", lambda *_: table)
    write_images(tmp_path / "PACS", PACS, {"cat": 30, "dog": 30})
    assert made(tmp_path, "PACS", "Cross", "--data_dir", tmp_path).thresholds == table.thresholds
    capsys.readouterr()
    assert main(["show", str(tmp_path / "PACS"), "Cross"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("note: these are the domains and label counts of PACS")
    assert captured.out.startswith("PACS Cross\nGenerated with validation 5")


def test_a_dataset_that_is_not_the_published_one_does_not_fit_its_table(tmp_path):
    write_images(tmp_path / "PACS", PACS, {"cat": 30, "dog": 20})
    with pytest.raises(InputError, match="and the dataset differ in their classes"):
        main(["show", "PACS", "Cross", "--data_dir", str(tmp_path)])
    table = made(tmp_path, tmp_path / "PACS", "TotalHeavyTail")
    assert table.domains == PACS


def test_make_counts_a_named_dataset_below_data_dir(tmp_path):
    folders = ("location_100", "location_38", "location_43", "location_46")
    write_images(tmp_path / "terra_incognita", folders, {"cat": 12, "dog": 9})
    table = made(tmp_path, "TerraIncognita", "Balanced", "--data_dir", tmp_path)
    assert table.domains == ("L100", "L38", "L43", "L46")
    assert set(table.counts("L38").ravel()) == {int(0.8 * (9 - 5))}


def test_make_counts_a_dataset_that_has_no_folder(tmp_path):
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


def test_show_and_make_say_what_a_shipped_table_keeps(tmp_path, capsys):
    assert main(["show", "OfficeCaltech10", "Duality", "--target", "A"]) == 0
    shown = capsys.readouterr().out
    assert "Label counts: counted in redhat12345/OfficeCaltechDomainAdaptation" in shown
    line = "With target A, 90 of 1,575 source images are used for training (5.7%)"
    assert f"{line}\nwarning: Duality keeps" in shown
    assert main(["make", "PACS", "GINIDG", "--output", str(tmp_path / "t.json")]) == 0
    assert "\nWith target S, 2,949 of 6,062 source images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["show", "PACS", "FromFile"], r"give the path of a table \(.json, .csv\) in place of"),
        (["show", "PACS", "Cross", "--target", "X"], "unknown target 'X'. Choose from: A, C, P, S"),
        (["show", "PAKS", "Cross"], "unknown dataset 'PAKS'; did you mean 'PACS'"),
        (["show", "PACS", "none.json"], "none.json: cannot be read as a split table"),
        (["make", "PACS", "Cross", "--output", "t.txt"], "the table is written as .json"),
        (["make", "PACS", "Cross", "--c", "x", "--output", "t.json"], "c is 'x'; it must be a num"),
        (["make", "TerraIncognita", "Cross", "--output", "t.json"], "no folder .*\n.*--data_dir"),
        (["show", "", "Cross"], "^DATASET is empty: give a dataset's name, a folder"),
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
    assert list(tmp_path.iterdir()) == []


def test_showing_a_folder_does_not_import_torch(images):
    code = (
        "import sys\n"
        "from ndcl_domainbed.scripts.splits import main\n"
        f"main(['show', {str(images)!r}, 'Balanced'])\n"
        "main(['show', 'PACS', 'Cross', '--target', 'A'])\n"
        "print(sorted({'torch', 'scipy', 'pandas'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "[]"
