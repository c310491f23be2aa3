"""Folders one level too deep, datasets of one class, and what a table keeps: the commands."""

from __future__ import annotations

import json
import re

import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.scripts.splits import main
from ndcl_domainbed.scripts.train import main as train
from ndcl_domainbed.testbed.datasets import get_dataset_class
from tests.imbalance_splits.stand_ins import write_images, write_list

DOMAINS = ("amazon", "dslr", "webcam")
SIZES = {"bike": 40, "mug": 20, "pen": 30}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_deep(root, sizes):
    """Write domain/images/class/image, as the official archive of Office-31 has it."""
    for domain in DOMAINS:
        write_images(root / domain, ("images",), sizes)


@pytest.fixture
def offices(tmp_path):
    """Two data directories with the same Office31, once in either layout."""
    write_images(tmp_path / "flat" / "Office31", DOMAINS, SIZES)
    write_deep(tmp_path / "deep" / "Office31", SIZES)
    return tmp_path / "flat", tmp_path / "deep"


def run_train(data_dir, output_dir, *flags):
    return train([
        "--data_dir", str(data_dir), "--dataset", "Office31", "--imbalance", "TotalHeavyTail",
        "--test_envs", "0", "--steps", "1", "--algorithm", "ERM", "--output_dir", str(output_dir),
        "--hparams", '{"backbone": "small_cnn", "batch_size": 2}', *flags,
    ])  # fmt: skip


def test_both_layouts_give_the_same_images_in_the_same_order(offices):
    flat, deep = (
        get_dataset_class("Office31")(str(root), [], {"data_augmentation": False})
        for root in offices
    )
    assert flat.classes == deep.classes == ["bike", "mug", "pen"]
    for domain in range(3):
        assert flat[domain].targets == deep[domain].targets
        names = [
            [(path.split("/")[-2:], label) for path, label in dataset[domain].samples]
            for dataset in (flat, deep)
        ]
        assert names[0] == names[1]
        assert deep[domain].root.name == DOMAINS[domain]


def test_both_layouts_give_the_same_table(offices, capsys):
    shown = []
    for root in offices:
        assert main(["show", "Office31", "TotalHeavyTail", "--data_dir", str(root)]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert re.search(r"^Target A trains on \d+ of 180 source images \(\d", shown[0], re.MULTILINE)


def test_the_layouts_can_be_trained_on_and_the_run_says_what_it_keeps(tmp_path, capsys):
    for name in ("flat", "deep"):
        root = tmp_path / name / "own"
        write_deep(root, SIZES) if name == "deep" else write_images(root, DOMAINS, SIZES)
        run_train(tmp_path / name, tmp_path / f"run_{name}", "--dataset", str(root))
    capsys.readouterr()
    flat, deep = ((tmp_path / f"run_{name}") for name in ("flat", "deep"))
    assert (flat / "split.json").read_text() == (deep / "split.json").read_text()
    split = json.loads((flat / "split.json").read_text())
    kept = sum(map(sum, split["train_counts"].values()))
    line = f"Target amazon trains on {kept} of 180 source images ({kept / 180:.1%})"
    for folder in (flat, deep):
        assert (folder / "out.txt").read_text().splitlines().count(line) == 1


def test_verify_names_the_skipped_level(tmp_path, capsys):
    write_deep(tmp_path / "own", SIZES)
    assert main(["verify", str(tmp_path / "own")]) == 0
    folders = ", ".join(f"{domain}/images" for domain in DOMAINS)
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"note: the classes are the folders in {folders}: that level is skipped",
        "note: 3 domains, amazon, dslr, webcam; 3 classes",
    ]


def test_verify_compares_office31_in_either_layout(offices, capsys):
    said = []
    for root in offices:
        assert main(["verify", "Office31", "--data_dir", str(root)]) == 1
        said.append(capsys.readouterr().out.splitlines())
    assert "missing: amazon/bike has 40 images, 42 fewer than published" in said[0]
    notes = [line for line in said[1] if line not in said[0] and line.startswith("note")]
    assert len(notes) == 1
    assert said[0][:-1] == [x for x in said[1][:-1] if x not in notes]


@pytest.mark.parametrize("depth", ["domain/class", "domain/images/class", "domain/a/b/class"])
@pytest.mark.parametrize("command", ["show", "make", "plot", "train"])
def test_a_dataset_of_one_class_is_refused(tmp_path, depth, command):
    root = tmp_path / "own"
    for domain in DOMAINS:
        below = root / depth.replace("domain", domain).removesuffix("/class")
        write_images(below.parent, (below.name,), {"mug": 30})
    only = "b" if "/b/" in depth else "mug"
    outputs = {"make": ["--output", "t.json"], "plot": ["--output", "t.png"]}
    with pytest.raises(InputError, match=f"it has only one class, {only}; two are the") as error:
        if command == "train":
            run_train(tmp_path, tmp_path / "run", "--dataset", str(root))
        else:
            main([command, str(root), "Balanced", *outputs.get(command, [])])
    assert len(str(error.value).splitlines()) == 2


def test_a_list_or_a_table_of_one_class_is_refused(tmp_path):
    write_images(tmp_path / "own", DOMAINS, {"mug": 30})
    path = write_list(tmp_path / "own.csv", tmp_path / "own")
    (tmp_path / "t.csv").write_text("target,source,class,count\namazon,dslr,mug,3\n")
    for setting in ("Balanced", str(tmp_path / "t.csv")):
        with pytest.raises(InputError, match="only one class, mug"):
            main(["show", str(path), setting])
    with pytest.raises(InputError, match="only one class, mug"):
        run_train(tmp_path, tmp_path / "run", "--dataset", str(path))


def test_a_named_dataset_of_one_class_is_refused_and_verify_says_so(tmp_path, capsys):
    folders = ("location_100", "location_38", "location_43", "location_46")
    write_images(tmp_path / "terra_incognita", folders, {"bat": 12})
    with pytest.raises(InputError, match="TerraIncognita: it has only one class, bat"):
        run_train(tmp_path, tmp_path / "run", "--dataset", "TerraIncognita")
    assert main(["verify", "TerraIncognita", "--data_dir", str(tmp_path)]) == 1
    assert "training refuses it: TerraIncognita: it has only one" in capsys.readouterr().out


def test_without_a_setting_one_class_is_refused_too(tmp_path):
    folders = ("location_100", "location_38", "location_43", "location_46")
    write_images(tmp_path / "terra_incognita", folders, {"bat": 4})
    flags = ["--data_dir", str(tmp_path), "--dataset", "TerraIncognita", "--algorithm", "ERM"]
    with pytest.raises(InputError, match="only one class, bat"):
        train([*flags, "--test_envs", "0", "--output_dir", str(tmp_path / "run")])


def test_make_and_show_say_what_a_shipped_table_keeps(tmp_path, capsys):
    assert main(["show", "OfficeCaltech10", "Duality", "--target", "A"]) == 0
    shown = capsys.readouterr().out
    assert "Label counts: counted in redhat12345/OfficeCaltechDomainAdaptation" in shown
    assert "Target A trains on 90 of 1,575 source images (5.7%)\nwarning: Duality keeps" in shown
    assert main(["make", "PACS", "GINIDG", "--output", str(tmp_path / "t.json")]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Target A trains on 4,350 of 7,943 source images (54.8%)",
        "Target C trains on 4,321 of 7,647 source images (56.5%)",
        "Target P trains on 4,401 of 8,321 source images (52.9%)",
        "Target S trains on 2,949 of 6,062 source images (48.6%)",
    ]


def test_ginidg_has_no_table_for_the_offices():
    for dataset in ("Office31", "OfficeCaltech10"):
        with pytest.raises(InputError, match=f"none for {dataset}; it has: PACS, VLCS"):
            main(["show", dataset, "GINIDG"])
