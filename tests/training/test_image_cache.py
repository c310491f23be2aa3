"""A cache of decoded images changes where the pixels come from, and nothing else."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.testbed.datasets import get_dataset_class
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.image_cache import use_image_cache
from ndcl_domainbed.training.loop import train
from tests.image_folders import write_images


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "images", ["ink", "oil", "pen"], ["cup", "hat"], 8, size=28)


def _dataset(folder):
    return get_dataset_class(str(folder))(".", [0, 1, 2], {"data_augmentation": True})


def _cached(folder, cache):
    dataset = _dataset(folder)
    use_image_cache([dataset[i] for i in range(3)], cache)
    return dataset


def _pixels(dataset):
    return torch.stack([dataset[domain][i][0] for domain in range(3) for i in range(16)])


def test_the_pixels_are_the_same(folder, tmp_path):
    plain = _pixels(_dataset(folder))
    assert torch.equal(_pixels(_cached(folder, tmp_path / "cache")), plain)
    assert torch.equal(_pixels(_cached(folder, tmp_path / "cache")), plain)


def test_the_second_run_does_not_decode(folder, tmp_path, monkeypatch):
    plain = _pixels(_cached(folder, tmp_path / "cache"))
    monkeypatch.setattr(
        "ndcl_domainbed.training.image_cache.read_rgb",
        lambda path: pytest.fail(f"{path} was decoded again"),
    )
    assert torch.equal(_pixels(_cached(folder, tmp_path / "cache")), plain)


def test_a_changed_image_is_decoded_again(folder, tmp_path):
    before = _pixels(_cached(folder, tmp_path / "cache"))
    changed = folder / "oil" / "hat" / "003.png"
    Image.fromarray(np.full((28, 28, 3), 7, np.uint8)).save(changed)
    os.utime(changed, ns=(1, 1))
    after = _pixels(_cached(folder, tmp_path / "cache"))
    assert torch.equal(after, _pixels(_dataset(folder)))
    assert not torch.equal(after, before)


def test_a_damaged_cache_is_made_anew(folder, tmp_path):
    plain = _pixels(_cached(folder, tmp_path / "cache"))
    for file in (tmp_path / "cache").glob("*.rgb"):
        file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(_pixels(_cached(folder, tmp_path / "cache")), plain)


def test_images_in_memory_have_no_use_for_it(tmp_path):
    dataset = get_dataset_class("Debug28")(".", [0], {"data_augmentation": True})
    with pytest.raises(InputError, match="images in files"):
        use_image_cache([dataset[0]], tmp_path)


def test_a_run_with_it_gives_the_same_records(folder, tmp_path):
    found = []
    for name, cache in (("plain", None), ("cached", str(tmp_path / "cache"))):
        train(
            TrainArguments(
                dataset=str(folder), steps=3, checkpoint_freq=2, image_cache=cache,
                output_dir=str(tmp_path / name), hparams='{"batch_size": 4}',
            )
        )  # fmt: skip
        lines = (tmp_path / name / "results.jsonl").read_text().splitlines()
        volatile = {"step_time", "mem_gb", "args"}
        found.append([{k: v for k, v in json.loads(x).items() if k not in volatile} for x in lines])
    assert found[0] == found[1]
