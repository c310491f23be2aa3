"""Splits of any dataset that follows DomainBed's contract.

A dataset class takes ``(root, test_envs, hparams)``, names its ``ENVIRONMENTS`` and gives one
torch dataset per domain. Labels are read from the dataset, never by decoding images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Subset, TensorDataset

from imbalance_splits.errors import InputError
from imbalance_splits.file_list import PARTS
from imbalance_splits.imbalance import counts_of
from imbalance_splits.kept import describe_kept
from imbalance_splits.labels import (
    check_class_count,
    class_names,
    describe_absent,
    environment_names,
    folder_name,
    label_counts_of,
    labels_of,
)
from imbalance_splits.published import check_domains
from imbalance_splits.seeds import seed_hash
from imbalance_splits.shots import describe_empty_groups, shot_groups
from imbalance_splits.splitting import holdout_split, split_domain, split_rest
from imbalance_splits.table import LabelCounts, SplitTable, Thresholds, default_thresholds

DatasetClass = Callable[[Any, list[int], Any], Any]


class SplitDataset:
    """What the three kinds of splits below share.

    - ``input_shape``, ``num_classes``, ``classes``, ``environments``, ``test_envs``, ``sources``;
    - ``train_sets``: one subset per source domain, in order, with training transforms;
    - ``unlabeled_sets``: subsets to train on without labels, of the test domains for domain
      adaptation, or of what an imbalanced split leaves over of the sources; else empty;
    - ``evaluation_sets``: (domain, split) -> subset with plain transforms, split one of 'in',
      'out', 'val' and 'uda';
    - ``label_counts``: int64 (M, K), the images of ``train_sets`` by class;
    - ``available``: domain -> class -> images, all that there are;
    - ``feature_info`` and ``preprocessing``: which frozen features the dataset holds (None if it
      holds images), and how an image becomes an input (None if it does not say);
    - ``thresholds`` and ``shot_groups`` (K): None unless a split table gives them;
    - ``notes``: what to know of the split before training, one line each.

    Raises InputError for a dataset of a single class.
    """

    thresholds: Thresholds | None = None
    shot_groups: list[str] | None = None

    def __init__(
        self, dataset_class: DatasetClass, root: Any, test_envs: Sequence[int], hparams: Any
    ) -> None:
        self.test_envs = [int(env) for env in test_envs]
        known = getattr(dataset_class, "ENVIRONMENTS", None)
        if known:
            _check_test_envs(self.test_envs, dataset_class.__name__, list(known))
        self._augmented = dataset_class(root, self.test_envs, hparams)
        self.environments = environment_names(self._augmented)
        _check_test_envs(self.test_envs, type(self._augmented).__name__, self.environments)
        self.input_shape = self._augmented.input_shape
        self.feature_info = getattr(self._augmented, "feature_info", None)
        self.preprocessing = getattr(self._augmented, "preprocessing", None)
        self.num_classes = int(self._augmented.num_classes)
        self.classes = class_names(self._augmented)
        if len(self.classes) != self.num_classes:
            raise InputError(
                f"{type(self._augmented).__name__}: {len(self.classes)} class names "
                f"for {self.num_classes} classes."
            )
        check_class_count(self.classes, type(self._augmented).__name__)
        self.available: LabelCounts = label_counts_of(self._augmented)
        self._labels = [labels_of(domain) for domain in self._domains(self._augmented)]
        self._plain = self._plain_dataset(dataset_class, root, hparams)
        self.train_sets: list[Subset] = []
        self.unlabeled_sets: list[Subset] = []
        self.evaluation_sets: dict[tuple[int, str], Subset] = {}
        self.label_counts = np.zeros((0, self.num_classes), dtype=np.int64)
        self.notes: list[str] = list(getattr(self._augmented, "notes", []))
        self.notes += describe_absent(self.available)

    @property
    def sources(self) -> list[int]:
        """The domains that are trained on, those of ``train_sets``: all but the test domains."""
        return [env for env in range(len(self.environments)) if env not in self.test_envs]

    def _domains(self, dataset: Any) -> list[Any]:
        return [dataset[env] for env in range(len(self.environments))]

    def _plain_dataset(self, dataset_class: DatasetClass, root: Any, hparams: Any) -> Any:
        """Return the same images without augmentation: as if every domain were a test domain.

        Tensors stay: a dataset that draws its images at random would draw others.
        """
        if all(isinstance(domain, TensorDataset) for domain in self._domains(self._augmented)):
            return self._augmented
        if hasattr(self._augmented, "without_augmentation"):
            return self._augmented.without_augmentation()
        plain = dataset_class(root, list(range(len(self._labels))), hparams)
        for env, labels in enumerate(self._labels):
            if not np.array_equal(labels_of(plain[env]), labels):
                raise InputError(
                    f"domain {self.environments[env]} changed while it was read; start again."
                )
        return plain

    def _train_on(self, env: int, indices: np.ndarray) -> None:
        """Add a source domain's training images."""
        self.train_sets.append(Subset(self._augmented[env], indices.tolist()))
        counts = np.bincount(self._labels[env][indices], minlength=self.num_classes)
        self.label_counts = np.vstack([self.label_counts, counts])

    def _train_without_labels(self, env: int, indices: np.ndarray) -> None:
        """Add a domain's unlabeled training images, if there are any."""
        if indices.size:
            self.unlabeled_sets.append(Subset(self._augmented[env], indices.tolist()))
            self._evaluate_on(env, "uda", indices)

    def _evaluate_on(self, env: int, split: str, indices: np.ndarray) -> None:
        self.evaluation_sets[env, split] = Subset(self._plain[env], indices.tolist())


class HoldoutDataset(SplitDataset):
    """DomainBed's ordinary split: a random share of every domain is held out.

    ``uda_holdout_fraction`` of the test domains' 'in' split becomes ``unlabeled_sets``. The
    attributes are those of :class:`SplitDataset`.
    """

    def __init__(
        self,
        dataset_class: DatasetClass,
        root: Any,
        test_envs: Sequence[int],
        hparams: Any,
        trial_seed: int,
        holdout_fraction: float = 0.2,
        uda_holdout_fraction: float = 0.0,
    ) -> None:
        super().__init__(dataset_class, root, test_envs, hparams)
        for env in range(len(self.environments)):
            seed = seed_hash(int(trial_seed), env)
            inside, outside = holdout_split(len(self._labels[env]), holdout_fraction, seed)
            unlabeled = inside[:0]
            if env in self.test_envs:
                rest, held = holdout_split(len(inside), uda_holdout_fraction, seed)
                inside, unlabeled = inside[rest], inside[held]
            else:
                self._train_on(env, inside)
            self._evaluate_on(env, "in", inside)
            self._evaluate_on(env, "out", outside)
            self._train_without_labels(env, unlabeled)


class ImbalancedDataset(SplitDataset):
    """The split that a table describes, of the dataset and for the target ``test_envs[0]``.

    Every source domain is split by class (see :func:`split_domain`) with the seed
    ``seed_hash(trial_seed, env)``: 'in' is trained on, 'val' is the balanced validation split,
    'out' the rest. A test domain has DomainBed's ordinary split and is never trained on.

    With two test domains, as leave-one-domain-out model selection needs them, the counts are those
    of the table's first one: so the run differs from the one that leaves out the first alone in
    the one domain that is held out to select the model, and in nothing else. Sweeps write a pair
    once, in ascending order, so selection for the second domain meets the first one's counts.

    ``table`` may also be a function that makes it from the label counts. The attributes are those
    of :class:`SplitDataset`.
    """

    def __init__(
        self,
        dataset_class: DatasetClass,
        root: Any,
        test_envs: Sequence[int],
        hparams: Any,
        table: SplitTable | Callable[[LabelCounts], SplitTable],
        trial_seed: int,
        holdout_fraction: float = 0.2,
        unlabeled_fraction: float = 0.0,
    ) -> None:
        super().__init__(dataset_class, root, test_envs, hparams)
        if not self.test_envs:
            raise InputError("an imbalanced split needs a test domain: name one in test_envs.")
        if not isinstance(table, SplitTable):
            table = table(self.available)
        names = self._names_in(table)
        target = names[self.test_envs[0]]
        sources = self.sources
        wanted = counts_of(table, target, [names[env] for env in sources], self.classes)
        for env in range(len(names)):
            seed = seed_hash(int(trial_seed), env)
            if env in self.test_envs:
                inside, outside = holdout_split(len(self._labels[env]), holdout_fraction, seed)
                splits, unlabeled = {"in": inside, "out": outside}, inside[:0]
            else:
                parts = split_domain(
                    self._labels[env],
                    wanted[sources.index(env)],
                    table.validation_per_class[target],
                    seed,
                    domain=self.environments[env],
                    classes=self.classes,
                )
                self._train_on(env, parts.train)
                name = self.environments[env]
                unlabeled, rest = split_rest(parts.test, unlabeled_fraction, seed, domain=name)
                splits = {"in": parts.train, "out": rest, "val": parts.validation}
                if unlabeled.size and not rest.size:
                    del splits["out"]
            for split, indices in splits.items():
                self._evaluate_on(env, split, indices)
            self._train_without_labels(env, unlabeled)
        self.thresholds = table.thresholds[target]
        self.shot_groups = shot_groups(self.label_counts, self.thresholds)
        available = {names[env]: self.available[self.environments[env]] for env in sources}
        self.notes += describe_empty_groups(self.label_counts, self.thresholds)
        self.notes += describe_kept(table, available, target)

    def _names_in(self, table: SplitTable) -> list[str]:
        """Return the table's name of each domain: its environment's name or its folder's."""
        found = []
        for env, domain in enumerate(self._domains(self._augmented)):
            both = (self.environments[env], folder_name(domain))
            found += [name for name in both if name in table.domains][:1]
        if len(found) < len(self.environments) or set(table.domains) - set(found):
            raise InputError(
                f"split table {table.dataset} {table.setting} has the domains "
                f"{', '.join(table.domains)}; the dataset has {', '.join(self.environments)}.\n"
                "Use a table for these domains: splits make generates one."
            )
        return found


class FixedSplitDataset(SplitDataset):
    """The split that the dataset itself fixes: its ``FIXED_SPLIT``, the part of each image.

    Of a source domain, 'in' are its train images, 'val' its val images, and 'out' its test images
    (its val images where it has none). Of a test domain, 'in' are its test images (those that are
    not val where it has none), and 'out' its val images. An empty split is left out.
    ``thresholds`` are those of :func:`~imbalance_splits.table.default_thresholds`. The attributes
    are those of :class:`SplitDataset`. Raises InputError for a source without a train image.
    """

    def __init__(
        self, dataset_class: Any, root: Any, test_envs: Sequence[int], hparams: Any
    ) -> None:
        super().__init__(dataset_class, root, test_envs, hparams)
        for env, row in enumerate(dataset_class.FIXED_SPLIT):
            parts = np.array(row)
            train, val, test = (np.flatnonzero(parts == name) for name in PARTS)
            if env in self.test_envs:
                splits = {"in": test if test.size else np.flatnonzero(parts != "val"), "out": val}
            else:
                if not train.size:
                    raise InputError(
                        f"domain {self.environments[env]} has no image whose split is train.\n"
                        "Give it some, or leave the domain out of the list."
                    )
                self._train_on(env, train)
                splits = {"in": train, "out": test if test.size else val, "val": val}
            for split, indices in splits.items():
                if indices.size:
                    self._evaluate_on(env, split, indices)
        self.thresholds = default_thresholds(self.label_counts)
        self.shot_groups = shot_groups(self.label_counts, self.thresholds)
        self.notes.append("the split is the list's own: nothing is held out at random")
        self.notes += describe_empty_groups(self.label_counts, self.thresholds)


def _check_test_envs(test_envs: list[int], dataset: str, environments: list[str]) -> None:
    """Raise InputError unless the test domains exist, differ, and leave a source."""
    check_domains(test_envs, dataset, environments)
    if len(set(test_envs)) < len(test_envs):
        raise InputError(f"test domains {test_envs}: one is named twice.")
    if len(test_envs) >= len(environments):
        raise InputError(f"test domains {test_envs}: no source domain is left to train on.")
