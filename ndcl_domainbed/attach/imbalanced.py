"""A dataset of DomainBed whose source domains are split by a table of training counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from torch.utils.data import Dataset, Subset

from imbalance_splits.datasets import ImbalancedDataset
from imbalance_splits.errors import InputError
from imbalance_splits.labels import label_counts_of, labels_of
from imbalance_splits.make_table import table_for
from imbalance_splits.published import published_table
from imbalance_splits.splitting import split_domain


class SourceDomain(Dataset[Any]):
    """A source domain: all of its images, and the rule that splits them.

    ``counts`` (K) are the training images of each class and ``validation`` the number of each
    class that is held out. ``targets`` are the labels, in the order of the images. Only
    :meth:`split` gives images, so that no script trains on the rest by mistake.
    """

    def __init__(
        self, images: Any, counts: np.ndarray, validation: int, name: str, classes: Sequence[str]
    ) -> None:
        self.images = images
        self.targets: list[int] = labels_of(images).tolist()
        self.classes = list(classes)
        self.name = name
        self.counts = counts
        self.validation = validation

    def __len__(self) -> int:
        """Return the number of all images."""
        return len(self.targets)

    def __getitem__(self, index: int) -> Any:
        """Raise InputError."""
        raise InputError(
            f"domain {self.name} has imbalanced training images: a script must split it with "
            "misc.split_dataset, as DomainBed's train does, before it uses any."
        )

    def split(self, seed: int) -> tuple[Subset[Any], Subset[Any]]:
        """Return ('out', 'in'): the balanced validation split, and the images to train on."""
        parts = split_domain(
            self.targets, self.counts, self.validation, seed, domain=self.name, classes=self.classes
        )
        held_out, train = parts.validation.tolist(), parts.train.tolist()
        return Subset(self.images, held_out), Subset(self.images, train)


class ImbalancedVersion:
    """Comes before a dataset class of DomainBed's and replaces its source domains.

    The counts are those of the published table of ``BASE_NAME`` under ``SETTING`` or, where there
    is none, what the setting makes of the dataset's own label counts. A test domain stays as it
    is. Raises InputError if the dataset cannot be read or does not fit the table.
    """

    BASE_NAME: ClassVar[str]
    SETTING: ClassVar[str]

    _sources: Mapping[int, SourceDomain] = MappingProxyType({})

    def __init__(self, root: str | None, test_envs: Sequence[int], hparams: Any) -> None:
        if root is None:
            raise InputError(f"{type(self).__name__} needs --data_dir.")
        super().__init__(root, test_envs, hparams)  # type: ignore[call-arg]
        table = published_table(self.BASE_NAME, self.SETTING)
        if table is None:
            table = table_for(self.BASE_NAME, self.SETTING, label_counts_of(self))
        # Only its counts are used; the split depends on the script's seed.
        split = ImbalancedDataset(lambda *_: self, root, test_envs, hparams, table, trial_seed=0)
        validation = table.validation_per_class[table.domains[split.test_envs[0]]]
        self._sources = {
            env: SourceDomain(self[env], counts, validation, split.environments[env], split.classes)
            for env, counts in zip(split.sources, split.label_counts, strict=True)
        }

    def __getitem__(self, index: int) -> Any:
        source = self._sources.get(index)
        return super().__getitem__(index) if source is None else source  # type: ignore[misc]
