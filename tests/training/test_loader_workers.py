"""How many loader processes a run starts where nobody says it."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.preparation import loader_workers
from tests.training.noisy_images import NoisyImages

FILES = NoisyImages(6)
TENSORS = TensorDataset(torch.zeros(6, 3), torch.zeros(6))


@pytest.mark.parametrize(
    ("cores", "threads", "device", "images", "expected"),
    [
        (16, 16, "cpu", FILES, 8),  # no more than the dataset wants
        (4, 4, "cpu", FILES, 4),
        (4, 1, "cpu", FILES, 1),  # one of four jobs that share the cores
        (4, 1, "cuda", FILES, 4),  # the CPU has nothing else to do
        (1, 1, "cuda", FILES, 0),
        (16, 16, "cpu", TENSORS, 0),
    ],
)
def test_it_is_what_the_cores_can_feed(monkeypatch, cores, threads, device, images, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    dataset = SimpleNamespace(train_sets=[Subset(images, range(6))])
    found = loader_workers(TrainArguments(), dataset, 8, torch.device(device))
    assert found == expected
    given = TrainArguments(num_workers=3)
    assert loader_workers(given, dataset, 8, torch.device(device)) == 3
