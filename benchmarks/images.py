"""What it takes to make a tensor of an image file, against torchvision's own transforms.

    python -m benchmarks.images [--rounds 5]

JPEG images of 227 x 227, as PACS has them, are decoded and transformed for training and for
evaluation on one thread. All variants take every image once a round, one after the other; the
figures are medians over images and rounds, in milliseconds of this process. The tensors are the
same, bit for bit: that is compared as well.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torchvision import transforms as torchvisions

from benchmarks.throughput import torchvision_transforms, write_images
from imbalance_splits.pixels import read_rgb
from ndcl_domainbed.testbed.datasets.images import jitter, transforms
from ndcl_domainbed.training.environment import keep_freed_memory

Step = Callable[[Image.Image], object]


def spent(step: Step, image: Image.Image) -> float:
    """Return the milliseconds of this process that a step takes, seeded the same each time."""
    torch.manual_seed(0)
    start = time.process_time()
    step(image)
    return 1000 * (time.process_time() - start)


def same(one: Step, other: Step, image: Image.Image) -> bool:
    """Tell whether two transforms make the same tensor."""
    made = []
    for step in (one, other):
        torch.manual_seed(0)
        made.append(step(image))
    return torch.equal(*made)


def print_times(images: list[Image.Image], rounds: int) -> None:
    """Time torchvision's transforms and ours, interleaved, and print the medians."""
    plain, augmenting = torchvision_transforms()
    pairs: dict[str, tuple[Step, Step]] = {
        "training": (augmenting, transforms.augmenting(224)),
        "evaluation": (plain, transforms.plain(224)),
        "of it the jitter": (
            torchvisions.ColorJitter(0.3, 0.3, 0.3, 0.3),
            jitter.ColorJitter(0.3, 0.3, 0.3, 0.3),
        ),
    }
    seen: dict[str, tuple[list[float], list[float]]] = {title: ([], []) for title in pairs}
    for _ in range(rounds):
        for image in images:
            for title, steps in pairs.items():
                for step, times in zip(steps, seen[title], strict=True):
                    times.append(spent(step, image))
    print(f"{'':<20}{'torchvision':>14}{'ours':>14}{'ratio':>14}")
    for title, columns in seen.items():
        theirs, ours = map(statistics.median, columns)
        print(f"{title:<20}{theirs:>14.2f}{ours:>14.2f}{theirs / ours:>14.2f}")
    whole = [pairs["training"], pairs["evaluation"]]
    alike = all(same(*steps, image) for steps in whole for image in images)
    print(f"the same tensors: {alike}")


def main() -> None:
    """Write the images, time decoding, and print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each image is taken")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name), 3)
        files = sorted(map(str, Path(name).rglob("*.jpg")))
        images, times = [], []
        for file in files:
            start = time.process_time()
            images.append(read_rgb(file))
            times.append(1000 * (time.process_time() - start))
    print_times(images, flags.rounds)
    print(f"decoding, before either: {statistics.median(times):.2f}")


if __name__ == "__main__":
    main()
