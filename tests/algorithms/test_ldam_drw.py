import pytest
import torch

from ndcl_domainbed.algorithms.ldam import class_margins
from ndcl_domainbed.hparams import VECTORS
from ndcl_domainbed.registry import default_hparams
from tests.testbed.algorithms.building import (
    assert_same_parameters,
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    minibatches_of,
    random_minibatches,
)

COUNTS = [[16, 81, 1, 256], [1, 1, 0, 16], [3, 2, 0, 0]]


def test_before_the_start_it_is_ldam():
    settings = {"counts": COUNTS, "max_m": 0.6, "scale": 10.0}
    ldam, deferred = build("LDAM", **settings), build("LDAM_DRW", drw_start_step=2, **settings)
    for seed in range(3):
        minibatches = random_minibatches(seed=seed)
        same = ldam.update(minibatches) == deferred.update(minibatches)
        assert same == (seed < 2)
        if same:
            assert_same_parameters(ldam, deferred)


def test_then_samples_weigh_by_the_inverse_count_of_their_class():
    algorithm = build_double("LDAM_DRW", counts=COUNTS, max_m=0.6, scale=10.0, drw_start_step=0)
    minibatches = minibatches_of([[0, 1, 2, 3, 0], [0, 1, 3], [0, 1]], dtype=torch.float64)
    margins = class_margins(algorithm.hparams.label_counts.astype(float), 0.6)

    def objective(twin):
        total = 0.0
        for (x, y), row, counts in zip(minibatches, margins, COUNTS, strict=True):
            terms, weights = [], []
            for f, label in zip(twin.network(x), y, strict=True):
                handicap = torch.zeros(4, dtype=torch.float64)
                handicap[label] = row[label]
                weights.append(1 / counts[label])
                terms.append(weights[-1] * cross_entropy(10 * (f - handicap)[None], label[None]))
            total = total + sum(terms) / sum(weights)
        return total / 3

    # Margins and weights are kept in single precision.
    result, loss = assert_update_follows(algorithm, minibatches, objective, rtol=1e-4, atol=1e-6)
    assert result["loss"] == pytest.approx(loss)


@pytest.mark.parametrize(
    ("dataset", "steps"), [("PACS", 5001), ("DomainNet", 15001), ("DigitsDG", 301), (VECTORS, 301)]
)
def test_the_second_stage_is_the_last_fifth_of_a_run(dataset, steps):
    start = default_hparams("LDAM_DRW", dataset)["drw_start_step"]
    assert start / steps == pytest.approx(0.8, abs=0.01)
