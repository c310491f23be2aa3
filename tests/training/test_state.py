"""An algorithm's state is found, saved as plain types and given back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ndcl_domainbed.training import state


class _Average:
    """A moving average, as algorithms of other people's code keep it: an object in a list."""

    def __init__(self):
        self.value = None
        self.updates = 0

    def add(self, x):
        self.value = x.clone() if self.value is None else 0.5 * self.value + 0.5 * x
        self.updates += 1


class _Learner(torch.nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.network = torch.nn.Linear(3, 2)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=np.float64(0.1))
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)
        self.generator = torch.Generator().manual_seed(seed)
        self.averages = [_Average(), _Average()]
        self.by_name = {"count": 0, 3: torch.zeros(2)}
        self.numbers = np.zeros(2)
        self.scalar = np.float64(0.5)
        self.steps = 0
        self.transform = lambda x: x
        self.hparams = {"lr": 0.1}

    def update(self):
        x = torch.randn(4, 3, generator=self.generator)
        loss = self.network(x).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        for average in self.averages:
            average.add(loss.detach())
        self.by_name["count"] += 1
        self.by_name[3] += loss.detach()
        self.numbers += loss.item()
        self.steps += 1
        return loss.item()


def test_a_restored_learner_goes_on_with_the_same_numbers(tmp_path):
    learner = _Learner()
    for _ in range(3):
        learner.update()
    torch.save(state.capture(learner), tmp_path / "state.pt")
    expected = [learner.update() for _ in range(4)]
    other = _Learner(seed=9)
    state.restore(other, torch.load(tmp_path / "state.pt", weights_only=True))
    assert [other.update() for _ in range(4)] == expected
    assert other.steps == 7
    assert other.by_name["count"] == 7
    assert other.averages[1].updates == 7
    assert torch.equal(other.averages[1].value, learner.averages[1].value)
    assert torch.equal(other.by_name[3], learner.by_name[3])
    assert np.array_equal(other.numbers, learner.numbers)
    assert other.optimizer.param_groups[0]["lr"] == learner.optimizer.param_groups[0]["lr"]


def test_a_state_of_another_network_is_refused():
    saved = state.capture(_Learner())
    other = _Learner()
    other.network = torch.nn.Linear(5, 2)
    with pytest.raises(state.CannotResume, match=r"size mismatch|Error"):
        state.restore(other, saved)
