"""A step's minibatches depend on (seed, step, domain, position) and on nothing else."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from ndcl_domainbed.training.batches import StepBatches, ViewPairs
from tests.training.noisy_images import NoisyImages


def _subset(dataset):
    return Subset(dataset, range(len(dataset)))


def _noisy_batches(seed=5, **options):
    subsets = [_subset(NoisyImages(7)), _subset(NoisyImages(20))]
    return StepBatches(subsets, 8, seed, **options)


def _equal(a, b):
    return all(
        torch.equal(xa, xb) and torch.equal(ya, yb) for (xa, ya), (xb, yb) in zip(a, b, strict=True)
    )


def test_a_step_gives_the_same_images_and_augmentations_however_often_and_in_any_order():
    batches = _noisy_batches()
    first = {step: batches[step] for step in (3, 0, 7)}
    torch.rand(10), random.random(), np.random.random()
    again = {step: _noisy_batches()[step] for step in (0, 7, 3)}
    assert all(_equal(first[step], again[step]) for step in first)
    assert not _equal(first[0], first[3])
    assert not _equal(first[0], _noisy_batches(seed=6)[0])


def test_drawing_leaves_the_runs_own_generators_alone():
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    expected = float(torch.rand(())), random.random(), np.random.random()
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    _noisy_batches()[0]
    assert (float(torch.rand(())), random.random(), np.random.random()) == expected


def test_a_domain_smaller_than_the_batch_is_drawn_with_replacement():
    (x, y), _ = _noisy_batches()[0]
    assert x.shape == (8, 4)
    assert set(x[:, 0].tolist()) <= set(range(7))
    assert torch.equal(y, x[:, 0].long() % 3)


def test_images_in_memory_are_indexed_through_the_subset():
    images = torch.arange(10.0).reshape(10, 1)
    subset = Subset(TensorDataset(images, torch.arange(10)), [9, 4, 2])
    ((x, y),) = StepBatches([subset], 50, seed=1)[0]
    assert set(y.tolist()) == {9, 4, 2}
    assert torch.equal(x[:, 0].long(), y)


@pytest.mark.parametrize(
    ("labels", "class_balanced"),
    [([0, 1, 2, 3, 4], False), ([0] * 90 + [1] * 9 + [2], True)],
    ids=["images", "classes"],
)
def test_every_image_or_every_class_is_equally_likely(labels, class_balanced):
    labels = np.array(labels)
    images = TensorDataset(torch.zeros(len(labels), 1), torch.as_tensor(labels))
    batches = StepBatches([_subset(images)], 60, seed=2, class_balanced=class_balanced)
    drawn = labels[np.concatenate([batches.positions(step, 0) for step in range(200)])]
    shares = np.bincount(drawn) / len(drawn)
    assert np.abs(shares - 1 / len(shares)).max() < 0.02


def test_pairs_of_views_tell_no_label():
    noisy = NoisyImages(7)
    plain = TensorDataset(torch.arange(7.0).reshape(7, 1).expand(7, 4), torch.arange(7))
    ((x, y),) = ViewPairs([_subset(noisy)], [_subset(plain)], 6, seed=5)[2]
    ((augmented, _),) = StepBatches([_subset(noisy)], 6, seed=5)[2]
    assert torch.equal(x[:, 1], augmented)
    assert torch.equal(x[:, 0, 0], augmented[:, 0])  # of the same images
    assert set(y.tolist()) == {-1}
