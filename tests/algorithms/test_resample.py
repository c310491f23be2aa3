"""ReSample through whole runs: its minibatches are all that makes it."""

import contextlib
import json

import numpy as np
import pytest

from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.callbacks import Callback
from ndcl_domainbed.training.run import train
from tests.image_folders import write_images
from tests.training.runs import lasting

STEPS, BATCH = 6, 60


class Labels(Callback):
    """Notes the labels of the minibatches, (steps, domains, batch)."""

    name = "labels"

    def __init__(self):
        self.seen = []

    def around_update(self, step, minibatches):
        self.seen.append([y.tolist() for _, y in minibatches])
        return contextlib.nullcontext()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A folder of images in which one class has five times as many as the other."""
    root = tmp_path_factory.mktemp("data")
    photos = write_images(root / "photos", ["ink", "oil", "pen"], ["cup", "hat"], 20, 28)
    for path in photos.glob("*/cup/*"):
        if int(path.stem) >= 4:
            path.unlink()
    return root


def run(data_dir, output, algorithm, workers=0, **hparams):
    """Return the labels that a run saw, and the losses and accuracies of its records."""
    hparams |= {"backbone": "small_cnn", "pretrained": False, "image_size": 28}
    labels = Labels()
    arguments = TrainArguments(
        dataset="photos", data_dir=str(data_dir), algorithm=algorithm, output_dir=str(output),
        hparams=json.dumps({**hparams, "batch_size": BATCH}), steps=STEPS, seed=3,
        num_workers=workers, skip_model_save=True,
    )  # fmt: skip
    train(arguments, [labels])
    numbers = [
        {key: value for key, value in record.items() if isinstance(value, float)}
        for record in lasting(output)
    ]
    return np.array(labels.seen), numbers


@pytest.mark.parametrize("frozen", [False, True])
def test_its_run_is_erms_on_class_balanced_minibatches(tmp_path, data_dir, frozen):
    labels, numbers = run(data_dir, tmp_path / "resample", "ReSample", frozen=frozen)
    assert labels.shape == (STEPS, 2, BATCH)
    assert (np.abs(labels.mean(axis=(0, 2)) - 0.5) < 0.09).all()
    plain, _ = run(data_dir, tmp_path / "erm", "ERM", frozen=frozen)
    assert (plain.mean(axis=(0, 2)) > 0.6).all()
    expected = run(data_dir, tmp_path / "told", "ERM", frozen=frozen, class_balanced=True)
    np.testing.assert_array_equal(labels, expected[0])
    assert numbers == expected[1]
