"""Prototypes of a batch, across iterations, and their measures."""

import pytest
import torch

from ndcl_domainbed.losses import (
    batch_prototypes,
    kept_prototypes,
)
from tests.losses.plain import BATCHES, plain_prototypes


def active_rows(found):
    """The active prototypes by (domain, class)."""
    return {
        (int(d), int(k)): vector
        for vector, d, k, active in zip(
            found.vectors, found.domains, found.classes, found.active, strict=True
        )
        if active
    }


@pytest.mark.parametrize("min_count", [1, 2, 3])
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_means_of_the_pairs_with_enough_samples(batch, min_count):
    found = batch_prototypes(batch.logits, batch.labels, batch.domains, min_count)
    rows = active_rows(found)
    wanted = plain_prototypes(batch.logits, batch.labels, batch.domains, min_count)
    assert rows.keys() == wanted.keys()
    assert int(found.active.sum()) == len(wanted)
    for pair, vector in rows.items():
        torch.testing.assert_close(vector, wanted[pair])


class TestKept:
    """Prototypes kept across iterations."""

    labels, domains = torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0])

    def blend(self, vectors, table, seen, momentum=0.75, min_count=1):
        batch = batch_prototypes(vectors, self.labels, self.domains, min_count)
        return kept_prototypes(batch, table, seen, momentum, min_count)

    def test_first_sight_is_the_mean_and_later_ones_blend(self):
        table, seen = torch.zeros(2, 3, 1), torch.zeros(2, 3, dtype=torch.bool)
        first, table, seen = self.blend(torch.tensor([[1.0], [3.0], [10.0]]), table, seen)
        assert first.vectors.tolist() == [[2], [2], [10]]
        assert table.tolist() == [[[0], [10], [0]], [[2], [0], [0]]]
        assert seen.tolist() == [[False, True, False], [True, False, False]]
        second, table, _ = self.blend(torch.tensor([[6.0], [6.0], [2.0]]), table, seen)
        assert second.vectors.tolist() == [[3], [3], [8]]
        assert table.tolist() == [[[0], [8], [0]], [[3], [0], [0]]]

    def test_pairs_with_too_few_samples_are_not_written(self):
        table, seen = torch.full((2, 3, 1), 7.0), torch.ones(2, 3, dtype=torch.bool)
        vectors = torch.tensor([[1.0], [3.0], [10.0]])
        found, table, _ = self.blend(vectors, table, seen, min_count=2)
        assert found.active.tolist() == [True, False, False]
        assert table.flatten().tolist() == [7, 7, 7, 0.75 * 7 + 0.25 * 2, 7, 7]
        unseen = torch.zeros(2, 3, dtype=torch.bool)
        _, _, seen = self.blend(vectors, table, unseen, min_count=2)
        assert seen.tolist() == [[False] * 3, [True, False, False]]

    def test_gradients_flow_through_the_batch_alone_and_arguments_stay(self):
        vectors = torch.tensor([[1.0], [3.0], [10.0]], requires_grad=True)
        table = torch.full((2, 3, 1), 7.0)
        seen = torch.ones(2, 3, dtype=torch.bool)
        found, new_table, _ = self.blend(vectors, table, seen)
        found.vectors[0].sum().backward()
        assert vectors.grad.tolist() == [[0.125], [0.125], [0]]
        assert not new_table.requires_grad
        assert (table == 7).all()
