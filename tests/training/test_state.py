"""An algorithm's state is found, saved as plain types and given back."""

import random
from collections import defaultdict, deque
from typing import NamedTuple

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


class _Last(NamedTuple):
    loss: float
    updates: int


class _Odd(_Learner):
    """Keeps its state where a state dict does not see it, and some of it from an update on."""

    def __init__(self, seed=0):
        super().__init__(seed)
        self.heads = [torch.nn.Linear(2, 2) for _ in range(2)]
        self.temperature = torch.ones(1, requires_grad=True)
        self.trained = [self.temperature, *self.network.parameters(), *self.heads[0].parameters()]
        self.optimizer = torch.optim.Adam(self.trained, lr=0.1)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)
        self.register_buffer("weights", torch.Tensor())
        self.twin = None
        self.twin_optimizer = None
        self.recent = deque([0.0], maxlen=3)
        self.counts = defaultdict(int)
        self.seen = {seed}
        self.last = _Last(0.0, 0)
        self.legacy = np.random.RandomState(seed)
        self.modern = np.random.default_rng(seed)
        self.python = random.Random(seed)

    def update(self):
        if self.twin is None:
            self.weights = torch.ones(2)
            self.twin = torch.nn.Linear(2, 2)
            self.twin_optimizer = torch.optim.Adam(self.twin.parameters())
        x = torch.randn(4, 3, generator=self.generator)
        x = x + self.legacy.randn() + self.modern.normal() + self.python.random()
        z = self.heads[1](self.heads[0](self.network(x) * self.temperature))
        loss = (self.twin(z) * self.weights).square().mean() + sum(self.recent)
        for optimizer in (self.optimizer, self.twin_optimizer):
            optimizer.zero_grad()
        loss.backward()
        for optimizer in (self.optimizer, self.twin_optimizer):
            optimizer.step()
        self.weights = self.weights * 1.1
        self.recent.append(loss.item() / 10)
        self.counts[len(self.recent)] += 1
        self.seen.add(self.counts[3])
        self.last = _Last(self.last.loss + loss.item(), self.last.updates + 1)
        return loss.item()


def test_state_in_odd_places_and_parts_that_an_update_makes(tmp_path):
    learner, other = _Odd(), _Odd(seed=9)
    for _ in range(5):
        learner.update()
    torch.save(state.capture(learner), tmp_path / "state.pt")
    expected = [learner.update() for _ in range(4)]
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    with pytest.raises(state.CannotResume, match=r"twin|weights"):
        state.restore(other, saved)
    state.restore(other, saved, other.update)
    assert [other.update() for _ in range(4)] == expected
    assert other.seen == learner.seen
    assert other.recent == learner.recent
    assert other.recent.maxlen == 3
    assert other.last == learner.last
    assert other.last.updates == 9
    assert other.counts["a new one"] == 0
    assert other.trained[1] is other.network.weight
    assert torch.equal(other.heads[1].weight, learner.heads[1].weight)


class OnDevice:
    """A tensor where ``map_location`` puts those of a resume file."""

    def __init__(self, tensor):
        self.tensor = tensor

    def cpu(self):
        return self.tensor


def test_what_lives_on_the_cpu_is_restored_from_a_file_that_was_loaded_to_a_device():
    def make():
        learner = torch.nn.Module()
        learner.generator, learner.counts = torch.Generator().manual_seed(3), np.arange(3)
        return learner

    one, other = make(), make()
    one.generator.manual_seed(7)
    one.counts += 5
    saved = state.capture(one)
    for name, kind in (("generator", "generator"), ("counts", "numpy")):
        saved["attributes"][name] = {kind: OnDevice(saved["attributes"][name][kind])}
    state.restore(other, saved)
    assert torch.equal(other.generator.get_state(), one.generator.get_state())
    assert other.counts.tolist() == [5, 6, 7]


def test_a_state_of_another_network_is_refused():
    saved = state.capture(_Learner())
    other = _Learner()
    other.network = torch.nn.Linear(5, 2)
    with pytest.raises(state.CannotResume, match=r"size mismatch|Error"):
        state.restore(other, saved)
