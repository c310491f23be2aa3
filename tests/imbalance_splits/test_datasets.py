import itertools
import os

import numpy as np
import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from imbalance_splits.datasets import HoldoutDataset, ImbalancedDataset
from imbalance_splits.errors import InputError
from imbalance_splits.labels import label_counts_of, labels_of
from imbalance_splits.make_table import table_for
from imbalance_splits.seeds import seed_hash
from imbalance_splits.shots import shot_groups
from imbalance_splits.splitting import holdout_split, split_domain
from imbalance_splits.table import SplitTable, Thresholds
from tests.imbalance_splits.stand_ins import Folders, InMemory, write_images


def table_of(dataset_class=InMemory, setting="TotalHeavyTail", **parameters):
    counts = label_counts_of(dataset_class("", [], {}))
    return table_for("own", setting, counts, {"validation": 2, **parameters})


def imbalanced(test_envs, dataset_class=InMemory, table=None, trial_seed=0, root=""):
    table = table or table_of(dataset_class)
    return ImbalancedDataset(dataset_class, root, test_envs, {}, table, trial_seed)


def places(subset):
    return [int(image) for image, _ in subset]


def check_promises(split, domains):
    """What both kinds of split promise."""
    sources = [env for env in range(len(domains)) if env not in split.test_envs]
    assert split.sources == sources
    assert len(split.train_sets) == len(sources)
    assert split.label_counts.shape == (len(sources), split.num_classes)
    assert split.label_counts.dtype == np.int64
    for row, env, train in zip(split.label_counts, sources, split.train_sets, strict=True):
        labels = [int(label) for _, label in train]
        assert np.bincount(labels, minlength=split.num_classes).tolist() == row.tolist()
        assert train.indices == split.evaluation_sets[env, "in"].indices
    assert all(type(part) is Subset for part in split.evaluation_sets.values())
    for env in range(len(domains)):
        parts = [p.indices for (e, _), p in split.evaluation_sets.items() if e == env]
        assert sorted(itertools.chain(*parts)) == list(range(len(domains[env])))


@pytest.mark.parametrize("test_envs", [[0], [2], [0, 2], [2, 1]])
def test_an_imbalanced_split_keeps_its_promises(test_envs):
    split = imbalanced(test_envs)
    check_promises(split, InMemory("", [], {}))
    assert split.environments == ["a", "b", "c"]
    assert split.classes == ["0", "1", "2"]
    assert split.input_shape == (1, 1, 1)
    assert split.test_envs == test_envs
    assert split.unlabeled_sets == []


def test_counts_seeds_and_images_are_those_of_the_specification():
    table = table_of()
    split = imbalanced([1], table=table, trial_seed=3)
    np.testing.assert_array_equal(split.label_counts, table.counts("b"))
    parts = [part for env, part in split.evaluation_sets if env < 2]
    assert parts == ["in", "out", "val", "in", "out"]  # in order; the target has no "val"
    dataset = InMemory("", [], {})
    for env in (0, 2):
        counts = table.counts("b", [split.environments[env]])[0]
        parts = split_domain(labels_of(dataset[env]), counts, 2, seed_hash(3, env))
        assert split.evaluation_sets[env, "in"].indices == parts.train.tolist()
        assert split.evaluation_sets[env, "val"].indices == parts.validation.tolist()
        assert split.evaluation_sets[env, "out"].indices == parts.test.tolist()
    rest, held = holdout_split(len(dataset[1]), 0.2, seed_hash(3, 1))
    assert split.evaluation_sets[1, "in"].indices == rest.tolist()
    assert split.evaluation_sets[1, "out"].indices == held.tolist()
    assert places(split.evaluation_sets[1, "out"]) == (1000 + held).tolist()


def test_of_two_test_domains_the_first_ones_table_counts():
    table = table_of()
    np.testing.assert_array_equal(imbalanced([0, 2]).label_counts, table.counts("a", ["b"]))
    np.testing.assert_array_equal(imbalanced([2, 0]).label_counts, table.counts("c", ["b"]))
    alone, both = imbalanced([0]), imbalanced([0, 2])
    assert alone.train_sets[0].indices == both.train_sets[0].indices


def test_shot_groups_follow_the_counts_and_the_targets_thresholds():
    table = table_of()
    limits = {"a": Thresholds(10, 2), "b": Thresholds(99, 50), "c": Thresholds(0, 0)}
    table.thresholds.update(limits)
    for target, expected in ([0], limits["a"]), ([1], limits["b"]), ([2, 0], limits["c"]):
        split = imbalanced(target, table=table)
        assert split.thresholds == expected
        assert split.shot_groups == shot_groups(split.label_counts, expected)
    split = imbalanced([0], table=table)
    assert split.label_counts.tolist() == [[1, 1, 30], [1, 1, 24]]
    assert split.shot_groups == ["few", "few", "many"]


def test_a_class_that_is_never_trained_on_is_zero():
    table = SplitTable(
        dataset="own",
        setting="S",
        domains=("a", "b", "c"),
        classes=("2", "1", "0"),
        train_counts={"a": {s: {"2": 5, "0": 3, "1": 0} for s in "bc"}},
        thresholds={"a": Thresholds(4, 2)},
        validation_per_class={"a": 1},
    )
    split = imbalanced([0], table=table)
    assert split.label_counts.tolist() == [[3, 0, 5], [3, 0, 5]]
    assert split.shot_groups == ["medium", "zero", "many"]
    with pytest.raises(InputError, match=r"no target 'b'\. Its targets: a"):
        imbalanced([1], table=table)


@pytest.mark.parametrize("test_envs", [[], [0], [1, 2]])
def test_a_holdout_split_keeps_its_promises(test_envs):
    split = HoldoutDataset(InMemory, "", test_envs, {}, 5, holdout_fraction=0.3)
    check_promises(split, InMemory("", [], {}))
    assert split.shot_groups is None
    assert split.thresholds is None
    assert split.unlabeled_sets == []
    for env, domain in enumerate(InMemory("", [], {})):
        held = holdout_split(len(domain), 0.3, seed_hash(5, env))[1]
        assert split.evaluation_sets[env, "out"].indices == held.tolist()


def test_unlabeled_images_come_from_the_test_domains_in_split():
    split = HoldoutDataset(InMemory, "", [1], {}, 0, uda_holdout_fraction=0.5)
    check_promises(split, InMemory("", [], {}))
    size = int(0.5 * (79 - int(79 * 0.2)))
    assert [len(part) for part in split.unlabeled_sets] == [size]
    assert split.unlabeled_sets[0].indices == split.evaluation_sets[1, "uda"].indices
    inside = holdout_split(79, 0.2, seed_hash(0, 1))[0]
    positions = list(range(len(inside)))
    np.random.RandomState(seed_hash(0, 1)).shuffle(positions)
    assert split.unlabeled_sets[0].indices == inside[positions[:size]].tolist()
    assert split.evaluation_sets[1, "in"].indices == inside[positions[size:]].tolist()


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_unlabeled_images_of_the_sources_are_what_training_and_validation_leave_over(share):
    usual = imbalanced([1])
    split = ImbalancedDataset(InMemory, "", [1], {}, table_of(), 0, unlabeled_fraction=share)
    check_promises(split, InMemory("", [], {}))
    assert len(split.unlabeled_sets) == len(split.sources)
    for env, pool in zip(split.sources, split.unlabeled_sets, strict=True):
        assert {int(image) // 1000 for image, _ in pool} == {env}
        left = usual.evaluation_sets[env, "out"].indices
        assert set(pool.indices) <= set(left)
        assert len(pool) == int(len(left) * share)
        assert ((env, "out") in split.evaluation_sets) == (share < 1)
        for part in ("in", "val"):
            before = usual.evaluation_sets[env, part].indices
            assert split.evaluation_sets[env, part].indices == before
    for part in ("in", "out"):
        before = usual.evaluation_sets[1, part].indices
        assert split.evaluation_sets[1, part].indices == before


def test_a_share_of_no_whole_image_is_an_error():
    with pytest.raises(InputError, match="domain a has left over rounds down to no image"):
        ImbalancedDataset(InMemory, "", [1], {}, table_of(), 0, unlabeled_fraction=1e-6)


@pytest.mark.parametrize("wrap", ["imbalanced", "holdout"])
def test_training_transforms_are_on_training_images_only(tmp_path, wrap):
    write_images(tmp_path)
    if wrap == "holdout":
        split = HoldoutDataset(Folders, tmp_path, [1], {}, 0)
    else:
        counts = label_counts_of(Folders(tmp_path, [], {}))
        split = imbalanced([1], Folders, table_for("own", "Balanced", counts), root=tmp_path)
    assert all(float(image.max()) >= 10 for train in split.train_sets for image, _ in train)
    for part in split.evaluation_sets.values():
        assert len(part) > 0
        assert all(float(image.max()) < 1 for image, _ in part)


def test_a_table_by_folder_names_and_in_another_order(tmp_path):
    write_images(tmp_path, sizes={"cat": 20, "dog": 12})
    counts = {d: {"dog": 12, "cat": 20} for d in ("clay", "art", "book")}
    table = table_for("own", "TotalHeavyTail", counts, {"validation": 2})
    split = imbalanced([1], Folders, table, root=tmp_path)
    row = table.train_counts["book"]["art"]
    assert split.label_counts[0].tolist() == [row["cat"], row["dog"]]
    assert split.classes == ["cat", "dog"]


def test_a_table_of_other_domains_or_classes_is_refused():
    other = {d: {"0": 50, "1": 60, "2": 70} for d in ("a", "b", "x")}
    with pytest.raises(InputError, match="has the domains a, b, x; the dataset has a, b, c"):
        imbalanced([0], table=table_for("own", "Balanced", other))
    other = {d: {"0": 50, "1": 60} for d in "abc"}
    with pytest.raises(InputError, match="Not in the table: 2; not in the dataset: -"):
        imbalanced([0], table=table_for("own", "Balanced", other))
    other = {d: {"0": 50, "1": 60, "two": 70} for d in "abc"}
    with pytest.raises(InputError, match="Not in the table: 2; not in the dataset: two"):
        imbalanced([0], table=table_for("own", "Balanced", other))
    partial = table_for("own", "Balanced", {d: {"0": 50, "1": 60, "2": 70} for d in "abc"})
    del partial.train_counts["a"]["c"]
    with pytest.raises(InputError, match="target a: no counts for the source c"):
        imbalanced([0], table=partial)


@pytest.mark.parametrize(
    ("test_envs", "message"),
    [
        ([3], r"InMemory has no domain 3; its domains are 0 \(a\), 1 \(b\), 2 \(c\)"),
        ([-1], "InMemory has no domain -1"),
        ([1, 1], r"test domains \[1, 1\]: one is named twice"),
        ([0, 1, 2], "no source domain is left"),
    ],
)
def test_test_domains_that_make_no_sense(test_envs, message):
    with pytest.raises(InputError, match=message):
        HoldoutDataset(InMemory, "", test_envs, {}, 0)
    with pytest.raises(InputError, match=message):
        imbalanced(test_envs)


def test_an_imbalanced_split_needs_a_target():
    with pytest.raises(InputError, match="needs a test domain"):
        imbalanced([])


class Random(InMemory):
    """Draws other images each time it is made, as DomainBed's Debug datasets do."""

    def __init__(self, root, test_envs, hparams):
        super().__init__(root, test_envs, hparams)
        self.domains = [
            TensorDataset(torch.rand(len(domain), 1), domain.tensors[1]) for domain in self.domains
        ]


def test_tensors_drawn_at_random_are_the_same_in_training_and_evaluation():
    split = imbalanced([0], Random)
    trained, _ = split.train_sets[0][0]
    evaluated, _ = split.evaluation_sets[1, "in"][0]
    assert torch.equal(trained, evaluated)


@pytest.mark.domainbed
def test_a_real_domainbed_dataset_splits_as_domainbed_splits_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(os.environ["DOMAINBED_HOME"])
    theirs = pytest.importorskip("domainbed.datasets").PACS
    split_dataset = pytest.importorskip("domainbed.lib.misc").split_dataset
    domains = ("art_painting", "cartoon", "photo", "sketch")
    write_images(tmp_path / "PACS", domains, {"cat": 20, "dog": 15})
    hparams = {"data_augmentation": True}
    split = HoldoutDataset(theirs, str(tmp_path), [1], hparams, 3, 0.2, 0.4)
    for env, domain in enumerate(theirs(str(tmp_path), [1], hparams)):
        seed = seed_hash(3, env)
        out, rest = split_dataset(domain, int(35 * 0.2), seed)
        keys = rest.keys
        if env == 1:
            uda, kept = split_dataset(rest, int(28 * 0.4), seed)
            assert split.unlabeled_sets[0].indices == [rest.keys[i] for i in uda.keys]
            keys = [rest.keys[i] for i in kept.keys]
        assert split.evaluation_sets[env, "out"].indices == out.keys
        assert split.evaluation_sets[env, "in"].indices == keys
    counts = {name: {"cat": 20, "dog": 15} for name in domains}
    table = table_for("own", "TotalHeavyTail", counts)
    split = ImbalancedDataset(theirs, str(tmp_path), [1], hparams, table, 0)
    np.testing.assert_array_equal(split.label_counts, table.counts("cartoon"))
    assert "RandomResizedCrop" in str(split.train_sets[0].dataset.transform)
    assert "RandomResizedCrop" not in str(split.evaluation_sets[0, "in"].dataset.transform)
