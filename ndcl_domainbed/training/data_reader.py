"""What the data of runs are now, to be compared with what they were made on."""

from __future__ import annotations

import functools
from typing import Any

from ndcl_domainbed import backend
from ndcl_domainbed.features.image_list import hparams_to_list
from ndcl_domainbed.hparams import is_frozen
from ndcl_domainbed.training import seeding
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.data_digest import Files, digest_data, find_files
from ndcl_domainbed.training.preparation import run_hparams, split_dataset


class DataReader:
    """Digests the data of runs; the images of a dataset are listed, and their files found, once.

    No image is decoded and no feature computed.
    """

    def __init__(self) -> None:
        self._find_class = functools.cache(_find_class)
        self._files: dict[tuple[str, str], list[Files] | None] = {}

    def digest(self, arguments: TrainArguments) -> dict[str, Any]:
        """Return the digest of the data that a run with ``arguments`` would be made on now.

        Raises InputError if the data cannot be read.
        """
        place = arguments.dataset, arguments.data_dir
        images_class = self._find_class(*place)
        hparams = run_hparams(arguments, images_class)
        if is_frozen(hparams):
            hparams |= hparams_to_list(images_class, hparams)
        seeding.seed_everything(arguments.seed)
        dataset = split_dataset(arguments, images_class, hparams)
        if place not in self._files:
            self._files[place] = find_files(dataset)
        return digest_data(dataset, self._files[place])


def _find_class(dataset: str, data_dir: str) -> Any:
    """Return the class of a dataset; its images, if they are in files, are listed once."""
    found = backend.get_dataset_class(dataset, data_dir)
    if not hasattr(found, "find_images"):
        return found
    find_images = staticmethod(functools.cache(found.find_images))
    return type(found.__name__, (found,), {"__doc__": found.__doc__, "find_images": find_images})
