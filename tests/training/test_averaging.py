"""Averages of weights against plain restatements that keep every set of weights."""

import itertools

import pytest
import torch

from ndcl_domainbed.training.averaging import MovingAverage, PlainAverage, Swad


def _random_weights(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, generator=generator, dtype=torch.float64) for _ in range(count)]


def test_moving_average_weighs_by_its_growing_decay():
    weights = _random_weights(30)
    average = MovingAverage({}, 30, decay=0.6, start=0.1)
    expected = None
    for step, one in enumerate(weights):
        average.add(step, [one])
        if step == 3:
            expected = one
        elif step > 3:
            n = step - 3
            decay = min(0.6, (1 + n) / (10 + n))
            expected = decay * expected + (1 - decay) * one
        if step < 3:
            assert average.evaluate(step, None) is None
        else:
            torch.testing.assert_close(average.evaluate(step, None)[0], expected)


def test_plain_average_is_the_mean_from_its_start_on():
    weights = _random_weights(11)
    average = PlainAverage({}, 11, start=0.5)
    for step, one in enumerate(weights):
        average.add(step, [one])
    torch.testing.assert_close(average.evaluate(step, None)[0], torch.stack(weights[6:]).mean(0))


def valley(losses, converge, overfit, tolerance):
    """Return the first and last evaluation of Algorithm 1 of Cha et al., 2021, word for word."""
    begin, end, threshold = 0, len(losses) - 1, None
    for i in range(len(losses)):
        if threshold is None:
            if i >= converge - 1:
                recent = [losses[i - back] for back in range(converge)]
                if losses[i - converge + 1] == min(recent):
                    begin = i - converge + 1
                    threshold = tolerance / converge * sum(recent)
        elif i >= overfit - 1 and threshold < min(losses[i - back] for back in range(overfit)):
            end = i - overfit
            break
    return begin, end


LOSSES = {
    "a valley": [9, 7, 5, 4, 3, 3.5, 3.2, 3.1, 4.5, 4.6, 5, 6, 7, 2, 1],
    "it never begins": [9, 8, 7, 6, 5, 4, 3],
    "it never ends": [9, 5, 3, 4, 3, 4, 3, 4, 3],
    "it begins at once": [1, 2, 3, 4, 5, 6, 7, 8],
}


@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("patience", list(itertools.product([1, 2, 3], [2, 3, 5])))
def test_swad_averages_the_updates_in_the_valley(losses, patience):
    settings = dict(zip(("converge", "overfit"), patience, strict=True), tolerance=1.2)
    every = 4
    weights = _random_weights(1 + every * (len(losses) - 1))
    swad = Swad({}, len(weights), **settings)
    for step, one in enumerate(weights):
        swad.add(step, [one])
        if step % every == 0:
            number = step // every
            swad.evaluate(step, losses[number])
            found = swad.evaluate(step, losses[number])  # again, as after a stop within it
            begin, end = valley(losses[: number + 1], **settings)
            first = 0 if begin == 0 else every * (begin - 1) + 1
            expected = torch.stack(weights[first : every * end + 1]).mean(0)
            torch.testing.assert_close(found[0], expected)
