"""Computes features: one pass of a frozen network over the views of every image."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from PIL import Image
from torch import nn

from imbalance_splits.errors import InputError
from imbalance_splits.seeds import seed_hash
from imbalance_splits.whole_files import write_whole
from ndcl_domainbed.features.image_list import ImageList
from ndcl_domainbed.features.spec import FeatureSpec
from ndcl_domainbed.features.store import INFO, write_arrays
from ndcl_domainbed.progress import ProgressLine
from ndcl_domainbed.version import __version__

BATCH = 32
"""Images of a batch; fixed, because the last bits of a feature may depend on it."""

PROGRESS = "progress.json"
View = Callable[[Image.Image], torch.Tensor]


def extract(
    images: ImageList,
    spec: FeatureSpec,
    network: nn.Module,
    views: tuple[View, View],
    folder: Path,
    device: torch.device,
    about: Mapping[str, Any],
    progress: ProgressLine,
) -> None:
    """Compute the features of ``images`` into ``folder``, which appears when all are there.

    ``network`` maps (B, C, H, W) to (B, D); ``views`` are the plain and the augmenting transform.
    What a killed extraction has done is kept beside ``folder``; the next one resumes there and ends
    with the same features. ``about`` goes into the JSON file. Raises InputError if an image
    cannot be decoded or the folder cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    network = network.to(device).eval()
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            first = views[0](images.load(0))[None].to(device)
            width = int(network(first).shape[1])
            purpose = _purpose(images, spec, about, width)
            shape = (len(images), 1 + spec.views, width)
            values, digests, done = _open_partial(partial, purpose, shape)
            if done:
                print(f"{done:,} images are done already; resuming after them.", flush=True)
            progress.start(done)
            for start, digest, batch in _batches(images, spec.views, views, done):
                stop = start + len(digest)
                for view in range(1 + spec.views):
                    values[start:stop, view] = _features(network, batch[:, view], device)
                digests[start:stop] = digest
                values.flush()
                digests.flush()
                _write_progress(partial, purpose, stop)
                progress(stop, len(images))
        progress.write(len(images), len(images))
        _complete(partial, folder, images, spec, digests, {**about, "width": width})
    except OSError as error:
        raise InputError(
            f"cannot write features to {folder.parent} ({error.strerror or error}).\n"
            "Name a folder that can be written with --feature_cache."
        ) from error


def _features(network: nn.Module, images: torch.Tensor, device: torch.device) -> np.ndarray:
    """Return the features (B, D) of images (B, C, H, W) as float16, clamped to its range."""
    images = images.to(device, memory_format=torch.channels_last)
    features = network(images)
    if not features.isfinite().all():
        raise InputError("the frozen network gives infinite or NaN features: check its weights.")
    return half_precision(features).cpu().numpy()


def half_precision(features: torch.Tensor) -> torch.Tensor:
    """Return features as they are kept: float16, clamped to its range."""
    largest = torch.finfo(torch.float16).max
    return features.float().clamp(-largest, largest).half()


def _batches(
    images: ImageList, count: int, views: tuple[View, View], done: int
) -> Iterator[tuple[int, np.ndarray, torch.Tensor]]:
    """Yield (first image, digests (B,), views (B, 1 + V, C, H, W)); the next is read meanwhile."""

    def read(start: int) -> tuple[int, np.ndarray, torch.Tensor]:
        indices = range(start, min(start + BATCH, len(images)))
        before = [images.digest(i) for i in indices]
        stacks = [_views(images, i, count, views) for i in indices]
        for i, digest in zip(indices, before, strict=True):
            if images.digest(i) != digest:
                raise InputError(f"{images.files[i]} changed while it was read; start again.")
        return start, np.array(before, "S32"), torch.stack(stacks)

    starts = range(done, len(images), BATCH)
    with ThreadPoolExecutor(1) as pool:  # one thread alone may draw from torch's generator
        ahead = [pool.submit(read, start) for start in starts[:2]]
        for start in [*starts[2:], None, None]:
            if not ahead:
                return
            yield ahead.pop(0).result()
            if start is not None:
                ahead.append(pool.submit(read, start))


def _views(images: ImageList, i: int, count: int, views: tuple[View, View]) -> torch.Tensor:
    """Return the plain view of image i and ``count`` augmented ones, (1 + V, C, H, W).

    A random view depends on the image's name and the view's number alone.
    """
    plain, augmented = views
    image = images.load(i)
    made = [plain(image)]
    name = f"{images.environments[images.domains[i]]}/{images.files[i]}"
    for view in range(count):
        torch.default_generator.manual_seed(seed_hash("view", name, view))
        made.append(augmented(image))
    return torch.stack(made)


def _open_partial(
    partial: Path, purpose: str, shape: tuple[int, int, int]
) -> tuple[np.memmap, np.memmap, int]:
    """Return the features, of ``shape``, the digests and how many images are done."""
    try:
        state = json.loads((partial / PROGRESS).read_text(encoding="utf-8"))
        if state["purpose"] == purpose:
            values, digests = (
                open_memmap(partial / f"{name}.npy", mode="r+") for name in ("features", "digests")
            )
            return values, digests, int(state["done"])
    except (OSError, ValueError, KeyError):
        pass  # nothing to resume
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    values = _new_array(partial / "features.npy", np.float16, shape)
    digests = _new_array(partial / "digests.npy", "S32", shape[:1])
    _write_progress(partial, purpose, 0)
    return values, digests, 0


def _new_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """Return a new array in a file whose space is reserved: later a full disk would be a crash."""
    values = open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return values


def _purpose(images: ImageList, spec: FeatureSpec, about: Mapping[str, Any], width: int) -> str:
    """Return a digest of all that the features depend on."""
    known = [spec.as_record(), images.environments, images.files.tolist(), width]
    known += [images.domains.tolist(), images.stats.tolist()]
    text = json.dumps([*known, about.get("weights"), about.get("versions")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write_progress(partial: Path, purpose: str, done: int) -> None:
    """Record the progress of the extraction, and the digest of what it computes."""
    write_whole(partial / PROGRESS, json.dumps({"purpose": purpose, "done": done}))


def _complete(
    partial: Path,
    folder: Path,
    images: ImageList,
    spec: FeatureSpec,
    digests: np.ndarray,
    about: Mapping[str, Any],
) -> None:
    """Write what is left, and give the folder its name."""
    write_arrays(partial, images)
    content = hashlib.sha256()
    with (partial / "features.npy").open("rb") as file:
        while block := file.read(2**24):
            content.update(block)
    info = {
        "dataset": images.dataset,
        **spec.as_record(),
        **about,
        "images": len(images),
        "domains": images.environments,
        "classes": images.classes,
        "digest": content.hexdigest()[:16],
    }
    write_whole(partial / INFO, json.dumps(info, indent=1) + "\n")
    stale = folder.with_name(f".{folder.name}.stale")
    shutil.rmtree(stale, ignore_errors=True)  # of a process that was killed right here
    if folder.exists():
        folder.rename(stale)
    partial.rename(folder)
    (folder / PROGRESS).unlink()
    shutil.rmtree(stale, ignore_errors=True)


def versions(device: torch.device) -> dict[str, str]:
    """Return the versions, and the machine, that the last bits of a feature depend on."""
    import PIL
    import torchvision

    found = {
        "ndcl-domainbed": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
        "device": str(device),
        "threads": str(torch.get_num_threads()),
        "processor": platform.processor() or platform.machine(),
    }
    try:
        import timm

        found["timm"] = timm.__version__
    except ImportError:
        pass
    return found
