"""Short runs on frozen features."""

import json

from tests.features.commands import TINY


def hparams_text(**hparams):
    """Return hyper-parameters for frozen features of a tiny network, as JSON."""
    return json.dumps({**TINY, "frozen": True, "batch_size": 4, **hparams})


def train_words(data_dir, *more, **hparams):
    """Return the command that trains on the features of photos, but for its output folder."""
    return [
        "train", "--dataset", "photos", "--data_dir", data_dir, "--hparams",
        hparams_text(**hparams), *more,
    ]  # fmt: skip
