"""Calls ``ndcl-domainbed features`` on small folders of images, and reads what it left."""

import functools
import itertools
import json
import os
import sys

import numpy as np

from ndcl_domainbed.scripts import cli
from tests.command_line import call
from tests.image_folders import write_images
from tests.training.processes import Command

DOMAINS, CLASSES = ["ink", "oil", "pen"], ["cup", "hat"]
TINY = {"backbone": "small_cnn", "pretrained": False, "image_size": 32, "views": 2}
"""Hyper-parameters of a network that takes no time."""


def write_photos(data_dir, per_class=3, size=40, name="photos"):
    """Write the images of the dataset ``name`` and return their folder."""
    return write_images(data_dir / name, DOMAINS, CLASSES, per_class, size)


def words(data_dir, *more, **hparams):
    """Return the command as one types it."""
    text = json.dumps({**TINY, **hparams})
    return ["features", "--dataset", "photos", "--data_dir", data_dir, "--hparams", text, *more]


def features(data_dir, *more, **hparams):
    """Run the command in this process and return its outcome."""
    return call(*words(data_dir, *more, **hparams))


def start(data_dir, *more, before=None, **hparams):
    """Start the command in a process of its own, where ``before()`` is called first."""
    argv = [str(word) for word in words(data_dir, *more, **hparams)]
    return Command(data_dir, before=functools.partial(_run_instead, argv, before))


def _run_instead(argv, before, _output_dir):
    if before is not None:
        before()
    cli.run(cli.dispatch, argv)


def signal_at_rename(number, which):
    """Have this process get a signal right before it gives a file or folder its name.

    ``number`` counts such moments: an extraction notes that it begins, then after each batch how
    far it is, at the end the names and labels, and last the folder gets its name.
    """
    count = itertools.count(1)

    def see(event, _arguments):
        if event == "os.rename" and next(count) == number:
            os.kill(os.getpid(), which)

    sys.addaudithook(see)


def folders(cache):
    """Return the folders of whole features in ``cache``."""
    return sorted(path for path in cache.glob("*") if not path.name.startswith("."))


def arrays(folder):
    """Return all arrays of a folder of features by name."""
    return {path.stem: np.load(path) for path in folder.glob("*.npy")}


def computed(data_dir, *more, **hparams):
    """Compute features, which are the first in their cache; return their arrays."""
    outcome = features(data_dir, *more, **hparams)
    assert outcome.status == 0, outcome.err
    cache = more[more.index("--feature_cache") + 1] if more else data_dir / "features"
    (folder,) = folders(cache)
    return arrays(folder)


def by_name(found):
    """Return the views of each image, (1 + V, D), by its domain's index and its name."""
    names = zip(found["domains"].tolist(), found["files"].tolist(), strict=True)
    return dict(zip(names, found["features"], strict=True))
