"""Decoded images from the cache are those that decoding would give."""

from __future__ import annotations

import os
import pickle
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.testbed.datasets.images import transforms
from ndcl_domainbed.testbed.datasets.images.files import ImageFiles
from ndcl_domainbed.testbed.datasets.images.reading import read_rgb
from ndcl_domainbed.training import image_cache
from ndcl_domainbed.training.image_cache import use_image_cache
from tests.command_line import call
from tests.image_folders import write_images
from tests.training.runs import lasting


@pytest.fixture
def photos(tmp_path):
    """Images of many modes, formats and sizes, as (path, label)."""
    rng = np.random.RandomState(0)
    folder = tmp_path / "domain" / "class"
    folder.mkdir(parents=True)
    noise = Image.fromarray(
        rng.randint(0, 256, (9, 7, 4), dtype=np.uint8).repeat(30, 0).repeat(20, 1)
    )
    paths = []
    for number, (mode, ending) in enumerate(
        [("RGB", "jpg"), ("L", "jpg"), ("CMYK", "jpg"), ("RGBA", "png"), ("P", "png"), ("1", "png"),
         ("LA", "png"), ("I;16", "png"), ("P", "gif"), ("RGB", "webp")]
    ):  # fmt: skip
        image = noise.resize((200 + 13 * number, 230 - 9 * number))
        image = image.convert("L").convert("I;16") if mode == "I;16" else image.convert("RGBA")
        image = image if mode in ("I;16", "RGBA") else image.convert("RGB").convert(mode)
        paths.append(folder / f"{number}_{mode[0]}.{ending}")
        image.save(paths[-1])
    return [(str(path), index % 3) for index, path in enumerate(paths)]


@pytest.mark.parametrize("make", [transforms.plain, transforms.augmenting])
def test_the_same_pixels_and_the_same_tensors(photos, tmp_path, make):
    plain, cached = [ImageFiles(photos, ["a", "b", "c"], make(224)) for _ in range(2)]
    use_image_cache([cached], tmp_path / "cache")
    assert isinstance(cached.loader, image_cache.DecodedImages)
    for index, (path, _) in enumerate(photos):
        image, decoded = cached.loader(path), read_rgb(path)
        assert (image.mode, image.size) == (decoded.mode, decoded.size)
        assert image.tobytes() == decoded.tobytes()
        results = []
        for dataset in (plain, cached):
            torch.manual_seed(index)
            results.append(dataset[index])
        assert torch.equal(results[0][0], results[1][0])
        assert results[0][1] == results[1][1]


def test_torchvisions_folders_are_served_too(photos, tmp_path):
    folder = ImageFolder(str(tmp_path / "domain"))
    before = [folder[index][0].tobytes() for index in range(len(folder))]
    use_image_cache([folder], tmp_path / "cache")
    assert [folder[index][0].tobytes() for index in range(len(folder))] == before


def _dataset(samples):
    return ImageFiles(samples, ["a", "b", "c"], transforms.plain(224))


def _count_decoding(monkeypatch):
    decoded = []
    monkeypatch.setattr(
        image_cache, "read_rgb", lambda path: (decoded.append(path), read_rgb(path))[1]
    )
    return decoded


def test_it_is_built_once_and_again_when_a_file_changes(photos, tmp_path, monkeypatch):
    decoded = _count_decoding(monkeypatch)
    use_image_cache([_dataset(photos), _dataset(photos)], tmp_path / "cache")
    use_image_cache([_dataset(photos)], tmp_path / "cache")
    assert decoded == [path for path, _ in photos]
    path = photos[3][0]
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    os.utime(path, ns=(1, 1))  # whatever the clock says: another time is another file
    decoded.clear()
    dataset = _dataset(photos)
    use_image_cache([dataset], tmp_path / "cache")
    assert len(decoded) == len(photos)
    assert dataset.loader(path).tobytes() == read_rgb(path).tobytes()
    assert [entry.suffix for entry in (tmp_path / "cache").iterdir()] == [".rgb"]


def test_jobs_that_start_together_build_it_once(photos, tmp_path, monkeypatch):
    decoded = _count_decoding(monkeypatch)
    datasets = [_dataset(photos) for _ in range(4)]
    threads = [
        threading.Thread(target=use_image_cache, args=([dataset], tmp_path / "cache"))
        for dataset in datasets
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(decoded) == sorted(path for path, _ in photos)
    for dataset in datasets:
        assert dataset.loader(photos[0][0]).tobytes() == read_rgb(photos[0][0]).tobytes()


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_file_and_what_a_killed_builder_left_are_replaced(photos, tmp_path, damage):
    use_image_cache([_dataset(photos)], tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:-5] if damage is None else damage)
    left_over = file.with_name(f".{file.name}.123.partial")
    left_over.write_bytes(b"half")
    dataset = _dataset(photos)
    use_image_cache([dataset], tmp_path / "cache")
    assert dataset.loader(photos[1][0]).tobytes() == read_rgb(photos[1][0]).tobytes()
    assert list((tmp_path / "cache").iterdir()) == [file]


def test_a_loader_process_that_is_not_forked_maps_the_file_again(photos, tmp_path):
    dataset = _dataset(photos)
    use_image_cache([dataset], tmp_path / "cache")
    content = pickle.dumps(dataset.loader)
    assert len(content) < 10_000
    assert pickle.loads(content)(photos[0][0]).tobytes() == read_rgb(photos[0][0]).tobytes()
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(b"another one")
    with pytest.raises(InputError, match="changed while it was in use"):
        pickle.loads(content)


def test_what_cannot_be_done_is_said_and_nothing_is_left(photos, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(InputError, match=str(broken)):
        use_image_cache([_dataset([*photos, (str(broken), 0)])], cache)
    with pytest.raises(InputError, match=r"gone\.png"):
        use_image_cache([_dataset([(str(tmp_path / "gone.png"), 0)])], cache)
    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "_check_space", lambda *_: None)
        patch.setattr(Image.Image, "tobytes", _no_space)
        with pytest.raises(RunFailure, match=r"cannot write .*: No space left on device"):
            use_image_cache([_dataset(photos)], cache)
    assert list(cache.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailure, match="cannot write"):
        use_image_cache([_dataset(photos)], tmp_path / "file" / "cache")


def _no_space(*_):
    raise OSError(28, "No space left on device")


def test_too_little_space_is_noticed_before_anything_is_written(photos, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"need 0.0 GB, and 0.0 GB are free"):
        use_image_cache([_dataset(photos)], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_run_with_the_cache_is_the_run_without(tmp_path):
    data = write_images(tmp_path / "data", ["a", "b", "c"], ["x", "y"], 6, size=40)
    flags = ("train", "--dataset", data, "--steps", 2, "--holdout_fraction", 0.5,
             "--hparams", '{"batch_size": 2, "backbone": "small_cnn"}')  # fmt: skip
    cache = ("--image_cache", tmp_path / "cache")
    for name, more in {
        "plain": (),
        "building": cache,
        "using": (*cache, "--num_workers", 1),
    }.items():
        outcome = call(*flags, *more, "--output_dir", tmp_path / name)
        assert outcome.status == 0, outcome.err
    found = [lasting(tmp_path / name) for name in ("plain", "building", "using")]
    for records in found:
        for record in records:
            del record["args"]["image_cache"], record["args"]["num_workers"]
    assert found[0] == found[1] == found[2]


def test_images_in_memory_have_no_use_for_it(tmp_path):
    outcome = call("train", "--dataset", "Debug28", "--image_cache", tmp_path, "--output_dir",
                   tmp_path / "run")  # fmt: skip
    assert outcome.status == 2
    assert "--image_cache is for images in files" in outcome.err
