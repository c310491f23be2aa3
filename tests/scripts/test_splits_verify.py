"""Folders and lists as ``splits verify`` and ``train`` take or refuse them."""

import json
import re

import pytest
from PIL import Image

from imbalance_splits.errors import InputError
from ndcl_domainbed.scripts.splits import main
from ndcl_domainbed.scripts.train import main as train
from ndcl_domainbed.testbed.datasets import get_dataset_class
from tests.imbalance_splits.stand_ins import write_images, write_list

DOMAINS = ("amazon", "dslr", "webcam")
SIZES = {"bike": 40, "mug": 20, "pen": 30}


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "shapes", sizes={"cat": 30, "dog": 20})
    return tmp_path / "shapes"


def write_deep(root, sizes):
    """Write domain/images/class/image, as the official archive of Office-31 has it."""
    for domain in DOMAINS:
        write_images(root / domain, ("images",), sizes)


def run_train(dataset, output_dir, *flags):
    return train([
        "--dataset", str(dataset), "--test_envs", "0", "--steps", "1", "--algorithm", "ERM",
        "--output_dir", str(output_dir),
        "--hparams", '{"backbone": "small_cnn", "image_size": 28, "batch_size": 2}', *flags,
    ])  # fmt: skip


def test_verify_reports_and_returns_a_status(images, capsys):
    assert main(["verify", str(images)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "note: 3 domains, art, book, clay; 2 classes"
    assert out[1].startswith("note: images are used at 224×224: not all are 28×28 or 32×32: ")
    counted = f"{images}: 150 images, all sound; there are no published counts to compare with"
    assert out[2:] == [counted]
    (images / "art" / "cat" / "000.png").write_bytes(b"?")
    assert main(["verify", str(images)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "broken: art/cat/000.png (cannot identify image file)"
    assert "150 images, 1 problem;" in out[-1]


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
        (["art/cat", "art/dog"], "wrong needs at least two domains; it has: art."),
        (["top/art/cat", "top/book/cat"], "wrong needs at least two domains; it has: top."),
        (["art/cat", "art/dog", "docs -"], "wrong: no image in domain docs."),
        (["art/cat", "book/cat", "book/dog -"], "no domain has an image of class dog."),
        (["art/cat", "book/cat"], "wrong has only one class, cat; at least two are needed."),
        (["art -", "book -"], "wrong has no classes; at least two are needed."),
    ],
)
def test_verify_reports_what_training_refuses(tmp_path, capsys, folders, message):
    root = tmp_path / "wrong"
    for name in folders:
        folder = root / name.removesuffix(" -")
        folder.mkdir(parents=True)
        if not name.endswith(" -"):
            Image.new("RGB", (4, 4)).save(folder / "1.png")
    assert main(["verify", str(root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("training refuses it: ")
    assert message in lines[0]
    assert " 1 problem" in lines[-1]
    for refuse in (
        lambda: run_train(root, tmp_path / "run"),
        lambda: main(["show", str(root), "x"]),
    ):
        with pytest.raises(InputError, match=re.escape(message)) as error:
            refuse()
        assert len(str(error.value).splitlines()) <= 2


def test_both_layouts_are_the_same_dataset(tmp_path, capsys):
    write_images(tmp_path / "flat" / "Office31", DOMAINS, SIZES)
    write_deep(tmp_path / "deep" / "Office31", SIZES)
    found = []
    for name in ("flat", "deep"):
        root = tmp_path / name
        dataset = get_dataset_class("Office31")(str(root), [], {"data_augmentation": False})
        samples = [[(p.split("/")[-2:], k) for p, k in domain.samples] for domain in dataset]
        assert [domain.root.name for domain in dataset] == list(DOMAINS)
        assert main(["verify", "Office31", "--data_dir", str(root)]) == 1
        verified = capsys.readouterr().out
        assert "missing: amazon/bike has 40 images, 42 fewer than published" in verified
        run_train(root / "Office31", root / "run", "--imbalance", "TotalHeavyTail")
        out = (root / "run" / "out.txt").read_text()
        split = (root / "run" / "split.json").read_text()
        kept = sum(map(sum, json.loads(split)["train_counts"].values()))
        share = f"{kept} of 180 source images are used for training ({kept / 180:.1%})"
        assert out.count(f"With target amazon, {share}") == 1
        found.append((dataset.classes, samples, split, "level is skipped" in verified))
    assert found[0][:3] == found[1][:3]
    assert [row[3] for row in found] == [False, True]


def test_a_list_a_table_and_a_named_dataset_of_one_class_are_refused(tmp_path):
    write_images(tmp_path / "own", DOMAINS, {"mug": 30})
    path = write_list(tmp_path / "own.csv", tmp_path / "own")
    (tmp_path / "t.csv").write_text("target,source,class,count\namazon,dslr,mug,3\n")
    for setting in ("Balanced", str(tmp_path / "t.csv")):
        with pytest.raises(InputError, match="only one class, mug"):
            main(["show", str(path), setting])
    folders = ("location_100", "location_38", "location_43", "location_46")
    write_images(tmp_path / "terra_incognita", folders, {"bat": 12})
    with pytest.raises(InputError, match="terra_incognita has only one class, bat"):
        run_train("TerraIncognita", tmp_path / "run", "--data_dir", str(tmp_path))


def test_a_run_on_a_domain_that_lacks_a_class_says_so(tmp_path):
    write_images(tmp_path / "own", ("art", "book"), {"cat": 9, "dog": 8})
    write_images(tmp_path / "own", ("clay",), {"cat": 9})
    for setting in ("none", "Exponential:validation=2,factor=3"):
        run_train(tmp_path / "own", tmp_path / setting, "--imbalance", setting)
        out = (tmp_path / setting / "out.txt").read_text()
        assert out.count("domain clay has no image of dog") == 1
    split = json.loads((tmp_path / setting / "split.json").read_text())
    assert split["train_counts"]["clay"][1] == 0
    with pytest.raises(InputError, match="every class, but domain clay has no image of dog"):
        run_train(tmp_path / "own", tmp_path / "run", "--require_every_class")


def test_a_run_whose_target_lacks_a_class_leaves_it_out_of_its_means(tmp_path):
    write_images(tmp_path / "own", ("art",), {"cat": 8})
    write_images(tmp_path / "own", ("book", "clay"), {"cat": 9, "dog": 3})
    with pytest.raises(InputError, match=r"class dog has 3 images; 5 .*\nGive --validation 1, or"):
        run_train(tmp_path / "own", tmp_path / "run", "--imbalance", "Exponential")
    run_train(tmp_path / "own", tmp_path / "run", "--imbalance", "Exponential", "--validation", "1")
    record = json.loads((tmp_path / "run" / "results.jsonl").read_text().splitlines()[-1])
    cat, dog = record["class_acc"]["env0_in"]
    assert dog is None
    assert cat == record["env0_in_acc"]
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    group = {"many": "0many", "few": "2few"}[split["shots"][1]]
    assert record[f"env0_in_{group}"] is None
    assert record["args"]["validation"] == 1


def test_a_run_on_a_list_with_a_split_column_uses_it(tmp_path):
    write_images(tmp_path / "own", DOMAINS, {"mug": 4, "pen": 4})
    parts = ["train", "train", "val", "test"]
    lines = ["domain,class,file,split"]
    for path in sorted((tmp_path / "own").rglob("*.png")):
        place = path.relative_to(tmp_path)
        lines.append(f"{place.parts[1]},{place.parts[2]},{place},{parts[int(path.stem)]}")
    (tmp_path / "own.csv").write_text("\n".join(lines))
    run_train(tmp_path / "own.csv", tmp_path / "run")
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert split["train_counts"] == {"dslr": [2, 2], "webcam": [2, 2]}
    record = json.loads((tmp_path / "run" / "results.jsonl").read_text().splitlines()[-1])
    assert {"env0_in_acc", "env0_out_acc", "env1_val_acc", "env2_out_acc"} <= record.keys()
    assert "env0_val_acc" not in record
    with pytest.raises(InputError, match="has a split of its own"):
        run_train(tmp_path / "own.csv", tmp_path / "other", "--imbalance", "Balanced")
    with pytest.raises(InputError, match=r"leave out --imbalance \(with --unlabeled_fraction\)"):
        run_train(tmp_path / "own.csv", tmp_path / "other", "--imbalance", "Balanced",
                  "--unlabeled_fraction", "1")  # fmt: skip
    with pytest.raises(InputError, match="has a split of its own"):
        main(["show", str(tmp_path / "own.csv"), "Balanced"])
