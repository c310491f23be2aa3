"""Minibatches of frozen features: each step draws a view of an image, the same each time."""

import numpy as np
import torch
from torch.utils.data import Subset

from ndcl_domainbed.features.frozen import DomainFeatures
from ndcl_domainbed.training.batches import StepBatches
from ndcl_domainbed.training.feed import RunReader, evaluation_batch_size

IMAGES, VIEWS = 9, 4


def _domain(augment=True, images=IMAGES):
    """Return features (image, view) of images whose label is their number modulo 3."""
    image, view = np.mgrid[:images, :VIEWS]
    values = np.stack([image, view], axis=2).astype(np.float16)
    return DomainFeatures(values, np.arange(images) % 3, None, augment=augment)


def _batches(seed=1, **options):
    subsets = [Subset(_domain(**options), [7, 1, 3, 8]), Subset(_domain(**options), range(IMAGES))]
    return StepBatches(subsets, 12, seed)


def _views(batch):
    return batch[0][:, 1].tolist()


def test_views_differ_between_steps_domains_and_seeds():
    drawn = [_views(batch) for step in range(3) for batch in _batches()[step]]
    drawn += [_views(batch) for batch in _batches(seed=2)[0]]
    assert len(set(map(tuple, drawn))) == len(drawn)
    assert {view for views in drawn for view in views} == set(range(VIEWS))


def test_all_is_evaluated_on_plain_views_4096_at_a_time():
    size = evaluation_batch_size((576,))
    assert size == 4096
    split = Subset(_domain(images=2000), [index % 2000 for index in range(5000)])
    reader = RunReader(_batches(), StepBatches([], 1, 0), [split], size)
    read = [reader[item] for item in reader.items_of_split(0)]
    assert [len(y) for _, y in read] == [4096, 904]
    assert all((x[:, 1] == 0).all() for x, _ in read)
    seen = torch.cat([x[:, 0] for x, _ in read])
    again = torch.cat([reader[item][0][:, 0] for item in reader.items_of_split(0)])
    assert torch.equal(again, seen)
    assert torch.equal(seen.long().bincount(), torch.tensor(split.indices).bincount())
