"""How many images a second the whole loop of training handles, and how that compares.

    python benchmarks/throughput.py [--rounds 2] [--steps 16] [--more "--precision bf16"]
    python benchmarks/throughput.py --network tiny --steps 480 --checkpoint_freq 240

A folder of JPEG images is generated, laid out and sized as PACS is (four domains, seven classes,
227 x 227). On it run, in turn, several times, each in a process of its own: this project; a plain
loop in DomainBed's style, which is in this file; and with DOMAINBED_HOME set that checkout's own
train command. All train ERM on the same network with random weights: a ResNet-18, whose own work
takes most of the time on a CPU, or a tiny one, with which reading images takes nearly all of it, as
with a fast GPU. The time is that between the first record and the last: the steps and the
evaluations, without the start-up. Images are those trained on and those evaluated. The figures are
the best of the rounds, and ratios to the plain loop; they are no test.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DOMAINS = ("art_painting", "cartoon", "photo", "sketch")
CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
SIZE = 227
ROOT = Path(__file__).parents[1]

PREAMBLE = """
import runpy, sys, torch, torchvision
class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.fc = torch.nn.Identity(), torch.nn.Linear(512, 512)
    def forward(self, x):
        return self.fc(x[:, :, ::16, ::16].flatten(1)[:, :512])
module, network, *sys.argv[1:] = sys.argv[1:]
if network == "tiny":
    torch.set_num_threads(1)
    torchvision.models.resnet18 = lambda **options: Tiny()
else:
    make = torchvision.models.resnet18
    torchvision.models.resnet18 = lambda **options: make(weights=None)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Runs a module with a network that needs no download."""


def write_images(root: Path, per_class: int) -> None:
    """Write JPEG files of about the size that photographs have: noise of several scales."""
    rng = np.random.RandomState(0)
    for domain in DOMAINS:
        for name in CLASSES:
            folder = root / "PACS" / domain / name
            folder.mkdir(parents=True)
            for number in range(per_class):
                pixels = np.zeros((SIZE, SIZE, 3))
                for coarse, weight in ((4, 90), (16, 50), (64, 25)):
                    noise = rng.randint(0, 256, (coarse, coarse, 3), dtype=np.uint8)
                    image = Image.fromarray(noise).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
                    pixels += np.asarray(image) * (weight / 165)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03}.jpg")


def commands(options: argparse.Namespace, data: Path) -> dict[str, list[str]]:
    """Return what to run, by the names that the figures go by."""
    hparams = {"batch_size": options.batch_size, "resnet18": True, "resnet50_augmix": False}
    flags = [
        "--data_dir", str(data), "--dataset", "PACS", "--algorithm", "ERM", "--test_envs", "0",
        "--steps", str(options.steps + 1), "--checkpoint_freq", str(options.checkpoint_freq),
        "--hparams", json.dumps(hparams), "--skip_model_save",
    ]  # fmt: skip
    python = [sys.executable, "-W", "ignore", "-c", PREAMBLE]
    ours = [*python, "ndcl_domainbed.scripts.train", options.network, *flags]
    if options.network == "tiny":
        ours += ["--num_workers", str(os.cpu_count())]
    found = {
        "a plain loop in DomainBed's style": [*python, "benchmarks.throughput", options.network,
            "--plain", "--data_dir", str(data), "--steps", str(options.steps),
            "--checkpoint_freq", str(options.checkpoint_freq),
            "--batch_size", str(options.batch_size)],
        "ndcl-domainbed": ours,
    }  # fmt: skip
    for more in options.more:
        found[f"ndcl-domainbed {more}"] = [*ours, *more.split()]
    if os.environ.get("DOMAINBED_HOME"):
        found["the DomainBed checkout"] = [
            *python, "domainbed.scripts.train", options.network, *flags,
        ]  # fmt: skip
    return found


def measure(command: Sequence[str], folder: Path) -> tuple[float, int, float]:
    """Run a command; return the seconds from its first record to its last, processes, memory.

    These are counted at the first record; the memory, in GB, is that of all its processes, where
    shared pages count once.
    """
    home = os.environ.get("DOMAINBED_HOME")
    paths = [str(ROOT), *([home] if home else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    records = folder / "results.jsonl"
    times: list[float] = []
    family: list[int] = []
    memory = 0.0
    with (folder.parent / "printed.txt").open("w") as printed:
        process = subprocess.Popen(
            [*command, "--output_dir", str(folder)],
            env=environment, cwd=folder.parent, stdout=printed, stderr=subprocess.STDOUT,
        )  # fmt: skip
        while process.poll() is None:
            time.sleep(0.005)
            written = records.read_bytes().count(b"\n") if records.exists() else 0
            times += [time.perf_counter()] * (written - len(times))
            if times and not family:
                family = [process.pid, *children(process.pid)]
                memory = sum(map(memory_share, family))
    if process.returncode != 0 or not family:
        raise SystemExit((folder.parent / "printed.txt").read_text())
    return times[-1] - times[0], len(family), memory


def children(process: int) -> list[int]:
    """Return the processes that ``process`` has started."""
    return [
        int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def memory_share(process: int) -> float:
    """Return the memory of a process in GB, of shared pages its share only; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 2**20


def torchvision_transforms() -> tuple[Any, Any]:
    """Return DomainBed's transforms for evaluation and for training, of torchvision's parts."""
    from torchvision import transforms

    scaled = (
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    )
    plain = transforms.Compose([transforms.Resize((224, 224)), *scaled])
    augmenting = transforms.Compose([
        transforms.RandomResizedCrop(224, scale=(0.7, 1.0)), transforms.RandomHorizontalFlip(),
        transforms.ColorJitter(0.3, 0.3, 0.3, 0.3), transforms.RandomGrayscale(0.1), *scaled,
    ])  # fmt: skip
    return plain, augmenting


def plain_loop(options: argparse.Namespace) -> None:
    """Train as DomainBed does: eight loader processes for each training set and each split."""
    import torch
    from torch.utils.data import DataLoader, RandomSampler, Subset
    from torchvision import models
    from torchvision.datasets import ImageFolder

    torch.manual_seed(0)
    folders = [Path(options.data_dir, "PACS", domain) for domain in DOMAINS]
    plain, augmenting = torchvision_transforms()
    train_loaders, split_loaders = [], []
    for env, folder in enumerate(folders):
        dataset = ImageFolder(str(folder), plain if env == 0 else augmenting)
        order = torch.randperm(len(dataset)).tolist()
        held = len(order) // 5
        for indices in (order[held:], order[:held]):
            split = Subset(dataset, indices)
            loader = DataLoader(split, 64, num_workers=8, persistent_workers=True)
            split_loaders.append(loader)
        if env > 0:
            split = Subset(dataset, order[held:])
            sampler = RandomSampler(split, replacement=True, num_samples=2**20)
            loader = DataLoader(split, options.batch_size, sampler=sampler, num_workers=8)
            train_loaders.append(loader)
    network = models.resnet18()
    width = network.fc.in_features
    network.fc = torch.nn.Linear(width, len(CLASSES))
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-5)
    Path(options.output_dir).mkdir()
    for step, batches in zip(range(options.steps + 1), zip(*train_loaders, strict=True)):  # noqa: B905
        x, y = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
        loss = torch.nn.functional.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % options.checkpoint_freq == 0 or step == options.steps:
            network.eval()
            with torch.no_grad():
                hits = [
                    sum((network(x).argmax(1) == y).float().sum().item() for x, y in loader)
                    for loader in split_loaders
                ]
            network.train()
            with Path(options.output_dir, "results.jsonl").open("a") as file:
                file.write(json.dumps({"step": step, "loss": loss.item(), "hits": hits}) + "\n")
    os._exit(0)  # the loader processes would take seconds to end


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--network", choices=("resnet18", "tiny"), default="resnet18")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--checkpoint_freq", type=int, default=8)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--images_per_class", type=int, default=3)
    parser.add_argument(
        "--more", nargs="*", default=[], metavar="FLAGS", help="flags for further rows of ours"
    )
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--data_dir", help=argparse.SUPPRESS)
    parser.add_argument("--output_dir", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        plain_loop(options)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_images(root, options.images_per_class)
        runs = commands(options, root)
        found: dict[str, list[tuple[float, int, float]]] = {title: [] for title in runs}
        for number in range(options.rounds):
            for place, (title, command) in enumerate(runs.items()):
                folder = root / f"run{number}_{place}"
                found[title].append(measure(command, folder))
        evaluations = -(-options.steps // options.checkpoint_freq)
        images = options.steps * (len(DOMAINS) - 1) * options.batch_size
        images += evaluations * len(DOMAINS) * len(CLASSES) * options.images_per_class
    plain, *_ = map(min, found.values())
    print(
        f"{images} images, {options.network}, best of {options.rounds} runs, {os.cpu_count()} cores"
    )
    for title, results in found.items():
        seconds, processes, memory = min(results)
        print(
            f"{title:<45} {images / seconds:7.1f} images/s {plain[0] / seconds:6.2f} x"
            f" {processes:4} processes {memory:5.1f} GB"
        )


if __name__ == "__main__":
    main()
