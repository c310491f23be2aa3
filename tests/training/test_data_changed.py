"""A run is one of its data: a change between two attempts, or under a complete run, is an error."""

import shutil

import pytest
from PIL import Image

from tests.command_line import call
from tests.image_folders import write_images
from tests.training.runs import assert_same_run
from tests.training.stops import stop_at

DOMAINS, CLASSES = ["ink", "oil", "pen"], ["cup", "hat"]
CHANGED = "belongs to a run on other data: "
WAY_OUT = "Use another --output_dir, or start over with --no_resume."


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "data" / "photos", DOMAINS, CLASSES, 12)


def _train(images, output, *more):
    return call(
        "train", "--dataset", "photos", "--data_dir", images.parent, "--output_dir", output,
        "--steps", 4, "--checkpoint_freq", 2,
        "--hparams", '{"backbone": "small_cnn", "batch_size": 4}', *more,
    )  # fmt: skip


def _add_image(images):
    shutil.copy(images / "oil" / "cup" / "000.png", images / "oil" / "cup" / "new.png")
    return "the dataset had 72 images and has 73"


def _rename_image(images):
    (images / "ink" / "hat" / "003.png").rename(images / "ink" / "hat" / "moved.png")
    return "image files were renamed, replaced or changed in size"


def _replace_image(images):
    Image.new("RGB", (28, 28)).save(images / "pen" / "cup" / "001.png")
    return "image files were renamed, replaced or changed in size"


def _move_between_classes(images):
    (images / "ink" / "hat" / "011.png").rename(images / "ink" / "cup" / "012.png")
    return "image files were renamed, replaced or changed in size"


def test_images_that_changed(images, tmp_path):
    output, whole = tmp_path / "run", shutil.copytree(images, tmp_path / "whole")
    assert _train(images, output).status == 0
    kept = {path: path.read_bytes() for path in output.iterdir() if path.suffix != ".txt"}
    for change in (_rename_image, _replace_image, _move_between_classes, _add_image):
        shutil.rmtree(images)
        shutil.copytree(whole, images)
        said = change(images)
        outcome = _train(images, output)
        assert outcome.status == 2
        first, second = outcome.err.splitlines()
        assert first.endswith(f"{CHANGED}{said}.")
        assert second == WAY_OUT
        assert all(path.read_bytes() == content for path, content in kept.items())
    assert _train(images, output, "--no_resume").status == 0


def _write_table(path, count):
    rows = [
        f"{target},{source},{name},{count}"
        for target in DOMAINS for source in DOMAINS if source != target for name in CLASSES
    ]  # fmt: skip
    path.write_text("\n".join(["target,source,class,count", *rows]) + "\n")


def test_a_table_that_was_edited(images, tmp_path, monkeypatch):
    table = tmp_path / "table.csv"
    _write_table(table, 6)
    stop_at(2, patch=monkeypatch.setattr)
    flags = (images, tmp_path / "run", "--imbalance", table)
    assert _train(*flags).status == 143
    split = (tmp_path / "run" / "split.json").read_bytes()
    said = f"{CHANGED}the training counts of --imbalance, or the list's own split, changed."
    for _ in ("stopped", "done"):
        _write_table(table, 5)
        outcome = _train(*flags)
        assert outcome.status == 2
        assert outcome.err.splitlines()[0].endswith(said)
        assert (tmp_path / "run" / "split.json").read_bytes() == split
        _write_table(table, 6)
        assert _train(*flags).status == 0


def _write_list(images, edit=lambda rows: rows):
    """Write a list of the images with a split, after ``edit`` of its rows, and return it."""
    rows = []
    for i, path in enumerate(sorted(images.rglob("*.png"))):
        part = ("train", "train", "val", "test")[i % 4]
        rows.append([str(path.relative_to(images)), path.parents[1].name, path.parent.name, part])
    lines = [",".join(row) for row in (["file", "domain", "class", "split"], *edit(rows))]
    (images / "list.csv").write_text("\n".join(lines) + "\n")
    return images / "list.csv"


def _relabel(rows):
    return [[*rows[0][:2], "hat", rows[0][3]], *rows[1:]]


def _exchange_parts(rows):
    return [[*rows[0][:3], "val"], rows[1], [*rows[2][:3], "train"], *rows[3:]]


def test_a_list_is_the_same_run_until_its_labels_or_its_split_are_edited(images, tmp_path):
    """On frozen features, too, whose cache is of the files alone."""
    hparams = '{"backbone": "small_cnn", "batch_size": 4, "frozen": true}'
    flags = (images, tmp_path / "run", "--dataset", images / "list.csv", "--hparams", hparams)
    for _ in range(2):
        _write_list(images)
        outcome = _train(*flags)
        assert outcome.status == 0, outcome.err
    for edit, said in (
        (_relabel, "the labels of the images changed"),
        (_exchange_parts, "the training counts of --imbalance, or the list's own split, changed."),
    ):
        _write_list(images, edit)
        outcome = _train(*flags)
        assert outcome.status == 2
        assert f"{CHANGED}{said}" in outcome.err


def test_the_same_data_elsewhere_are_the_same_run(images, tmp_path, monkeypatch):
    assert _train(images, tmp_path / "alone").status == 0
    stop_at(2, patch=monkeypatch.setattr)
    assert _train(images, tmp_path / "run").status == 143
    moved = images.parent.rename(tmp_path / "elsewhere") / "photos"
    outcome = _train(moved, tmp_path / "run")
    assert outcome.status == 0, outcome.err
    assert "Resuming after step 2." in outcome.out
    runs = [tmp_path / "alone", tmp_path / "run"]
    for run in runs:  # the data directory stands in the records
        text = (run / "results.jsonl").read_text()
        (run / "results.jsonl").write_text(text.replace("elsewhere", "data"))
    assert_same_run(*runs)
    shutil.rmtree(moved)
    assert "is done already" in _train(moved, tmp_path / "run").out
