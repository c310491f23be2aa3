"""Averages of the weights of a run: moving, plain, and SWAD's, dense over a valley.

A set of weights is a list of tensors, in one order. torch's function makes the
moving average; its ``AveragedModel`` would copy the algorithm with its optimizers and the data that
its hyper-parameters carry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

Weights = list[Tensor]
State = dict[str, Any]
"""What a resumed run needs: plain values and tensors, changed in place."""


def add_weights(mean: State, weights: Sequence[Tensor], count: int = 1) -> None:
    """Add ``weights``, the mean of ``count`` sets, to ``mean``: {"weights", "count"}, or empty."""
    if not mean:
        mean.update(weights=[one.detach().clone() for one in weights], count=count)
        return
    total = mean["count"] + count
    for average, new in zip(mean["weights"], weights, strict=True):
        average.lerp_(new.detach(), count / total)
    mean["count"] = total


class PlainAverage:
    """The mean of the weights since a start step (SWA, Izmailov et al., UAI 2018)."""

    def __init__(self, state: State, steps: int, start: float) -> None:
        self.state = state
        self._first = math.ceil(start * steps)

    def add(self, step: int, weights: Sequence[Tensor]) -> None:
        """Take the weights after the update of ``step``."""
        if step >= self._first:
            add_weights(self.state, weights)

    def evaluate(self, step: int, loss: float | None) -> Weights | None:
        """Return the average so far; None before the start."""
        return self.state.get("weights")


class MovingAverage(PlainAverage):
    """An exponential moving average: of the n-th set, n from 0, the weight is 1 - d_n.

    d_n = min(``decay``, (1 + n) / (10 + n)), so that a short run does not keep its random start.
    """

    def __init__(self, state: State, steps: int, decay: float, start: float) -> None:
        super().__init__(state, steps, start)
        self._decay = decay

    def add(self, step: int, weights: Sequence[Tensor]) -> None:
        """Take the weights after the update of ``step``."""
        if not self.state:
            super().add(step, weights)
            return
        n = self.state["count"]
        decay = min(self._decay, (1 + n) / (10 + n))
        current = [one.detach() for one in weights]
        get_ema_multi_avg_fn(decay)(self.state["weights"], current, n)
        self.state["count"] = n + 1


class Swad:
    """Stochastic weight averaging, densely, over a valley of the validation loss.

    Cha, Chun, Lee, Cho, Park, Lee & Park, "SWAD: Domain Generalization by Seeking Flat Minima",
    NeurIPS 2021, arXiv:2102.08604, Algorithm 1. Its iterations are the run's evaluations, and what
    it averages are the weights after every update: evaluation i stands for the updates since
    evaluation i - 1. The valley begins with evaluation i - N_s + 1 at the first i where that has
    the least of the last N_s losses; the threshold is r times their mean. It ends with evaluation
    i - N_e at the first i where the last N_e losses all exceed the threshold. Until it begins, all
    evaluations count, and until it ends, all from its begin on, as if the run ended here.
    """

    def __init__(
        self, state: State, steps: int, converge: float, overfit: float, tolerance: float
    ) -> None:
        self.state = state
        if not state:
            state.update(losses=[], segment={}, segments=[], mean={}, threshold=None, done=False)
        state.setdefault("evaluated", -1)
        self._converge = int(converge)
        self._overfit = int(overfit)
        self._tolerance = tolerance

    def add(self, step: int, weights: Sequence[Tensor]) -> None:
        """Take the weights after the update of ``step``."""
        if not self.state["done"]:
            add_weights(self.state["segment"], weights)

    def evaluate(self, step: int, loss: float | None) -> Weights | None:
        """Take the validation loss of the weights after ``step``; return the average in the valley.

        An evaluation that a run was stopped in is made again, and counts once.
        """
        state = self.state
        assert loss is not None
        if not state["done"] and state["evaluated"] != step:
            state["evaluated"] = step
            state["losses"].append(loss)
            if state["segment"]:
                state["segments"].append(state["segment"])
                state["segment"] = {}
            if state["threshold"] is None:
                self._look_for_begin()
            else:
                self._look_for_end()
        whole: State = {}
        for part in [state["mean"], *state["segments"]]:
            if part:
                add_weights(whole, part["weights"], part["count"])
        return whole["weights"] if whole else None

    def _look_for_begin(self) -> None:
        state, n = self.state, self._converge
        recent = state["losses"][-n:]
        if len(recent) == n and recent[0] == min(recent):
            state["threshold"] = self._tolerance * sum(recent) / n
            state["mean"] = {}  # of what lies before the valley
        else:
            self._merge_all_but(n - 1)

    def _look_for_end(self) -> None:
        state, n = self.state, self._overfit
        recent = state["losses"][-n:]
        if len(recent) == n and min(recent) > state["threshold"]:
            del state["segments"][-n:]
            state["done"] = True
        self._merge_all_but(0 if state["done"] else n - 1)

    def _merge_all_but(self, count: int) -> None:
        """Merge all but the last ``count`` segments, whose place is not decided yet."""
        segments = self.state["segments"]
        while len(segments) > count:
            first = segments.pop(0)
            add_weights(self.state["mean"], first["weights"], first["count"])


KINDS = {"ema": MovingAverage, "average": PlainAverage, "swad": Swad}
