"""What frozen features cannot be made of, or used for, is said before any training."""

import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed import backend, registry
from tests.command_line import call
from tests.features.commands import features, folders, write_photos
from tests.features.training import train_words


def test_a_dataset_of_tensors(tmp_path):
    said = (
        "error: Debug28 has no image files, so a frozen network has nothing to see: leave "
        "out the hyper-parameter frozen.\n"
    )
    outcome = call("features", "--dataset", "Debug28", "--data_dir", tmp_path)
    assert (outcome.status, outcome.err) == (2, said)
    words = ["--dataset", "Debug28", "--output_dir", tmp_path / "run"]
    outcome = call(*train_words(tmp_path, *words))
    assert (outcome.status, outcome.err) == (2, said)


def test_an_image_that_cannot_be_decoded(tmp_path):
    broken = write_photos(tmp_path, per_class=12) / "pen" / "hat" / "011.png"
    kept = broken.read_bytes()
    broken.write_bytes(kept[:-200])
    outcome = features(tmp_path)
    assert outcome.status == 2
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"error: cannot read the image {broken} (")
    assert line.endswith("Replace or delete the file.")
    assert not folders(tmp_path / "features")
    broken.write_bytes(kept)
    assert features(tmp_path).status == 0


def test_an_image_that_goes_while_features_are_computed(tmp_path, monkeypatch):
    """It is not the cache that could not be written."""
    from ndcl_domainbed.testbed.datasets import image_files as files

    gone = write_photos(tmp_path) / "pen" / "hat" / "002.png"
    read = files.read_rgb

    def read_and_remove(path, **how):
        image = read(path, **how)
        if path == str(gone):
            gone.unlink()
        return image

    monkeypatch.setattr(files, "read_rgb", read_and_remove)
    outcome = features(tmp_path)
    assert outcome.status == 2
    assert outcome.err == f"error: cannot read the image {gone} (No such file or directory).\n"


def test_a_domainbed_checkout(monkeypatch):
    monkeypatch.setattr(backend, "NAME", "domainbed")
    with pytest.raises(InputError, match=r"^frozen features need this package") as error:
        registry.run_hparams("ERM", "PACS", overrides={"frozen": True})
    assert "Unset NDCL_BACKEND, or leave frozen out." in str(error.value)


def test_a_linear_probe_of_an_algorithm_that_needs_a_featurizer(tmp_path):
    write_photos(tmp_path)
    words = train_words(tmp_path, "--algorithm", "SagNet", "--steps", 2, adapter_depth=0)
    outcome = call(*words, "--output_dir", tmp_path / "run")
    assert outcome.status == 2
    (line,) = outcome.err.splitlines()
    assert line.startswith("error: SagNet trains the featurizer")
    assert "set adapter_depth to 1 or more" in line


@pytest.mark.parametrize(
    ("hparams", "said"),
    [
        ({"views": -1}, "hyper-parameter views takes a whole number from 0 to 1000"),
        ({"view_augmentation": "none"}, "view_augmentation 'none'"),
        ({"backbone": "resnet17"}, "backbone 'resnet17'"),
        ({"backbone": "resnet18", "weights": "nothing.pth"}, "nothing.pth"),
        ({"image_size": 4}, "hyper-parameter image_size takes a whole number from 8"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_hyper_parameters_that_make_no_sense(tmp_path, hparams, said):
    write_photos(tmp_path)
    outcome = features(tmp_path, **hparams)
    assert outcome.status == 2
    assert outcome.err.startswith("error: ")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) <= 2
    assert not folders(tmp_path / "features")
