"""The time and memory of one update of an algorithm, relative to one of ERM.

    python -m benchmarks.update [--network small_cnn] [--classes 10] [--per_domain 32]
                                [--rounds 30] [--algorithms NDCL MLDG] [--json FILE]

Every round makes two updates of each algorithm (some alternate between two kinds) beside two of
ERM, so that a slow moment of the machine falls on both; figures are medians over the rounds, ratios
those within a round. Times are CPU seconds of this process on one thread, so other work on the
machine shows less. Memory is what three updates in a process of their own add to its peak. Three
source domains; BoDA's refreshes of its centroids are left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Subset, TensorDataset

from ndcl_domainbed import registry
from ndcl_domainbed.training.environment import keep_freed_memory

SOURCES = 3
SIZES = {"small_cnn": 28, "mnist_cnn": 28, "resnet18": 224}
LATE = 10**9
"""A number of updates beyond all warm-up phases."""


def make(name: str, network: str, classes: int, per_domain: int) -> Any:
    """Return an algorithm that is ready to train, with its penalties switched on."""
    hparams = registry.default_hparams(name, "DigitsDG")
    hparams |= {"backbone": network, "pretrained": False, "batch_size": per_domain}
    hparams |= {key: 0 for key in hparams if key.endswith("anneal_iters")}
    if "feat_update_freq" in hparams:
        hparams["feat_update_freq"] = LATE
    side = SIZES[network]
    images = TensorDataset(torch.randn(classes, 3, side, side), torch.arange(classes))
    hparams.train_sets = [Subset(images, range(classes))] * SOURCES
    hparams.label_counts = torch.randint(1, 100, (SOURCES, classes)).numpy()
    hparams.n_steps = 5001
    algorithm = registry.get_algorithm_class(name)((3, side, side), classes, SOURCES, hparams)
    if name in ("BoDA", "GINIDG"):
        algorithm.updates = LATE + 1
    return algorithm


def minibatches(network: str, classes: int, per_domain: int) -> list[Any]:
    """Return one random batch per source domain."""
    side = SIZES[network]
    return [
        (torch.randn(per_domain, 3, side, side), torch.randint(classes, (per_domain,)))
        for _ in range(SOURCES)
    ]


def time_update(algorithm: Any, batches: list[Any]) -> float:
    """Return the CPU milliseconds of one of two updates."""
    started = time.process_time()
    algorithm.update(batches)
    algorithm.update(batches)
    return 500 * (time.process_time() - started)


def measure_memory(name: str, network: str, classes: int, per_domain: int) -> float:
    """Return the MiB that updates add to the peak of this process, which must be a new one."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    algorithm = make(name, network, classes, per_domain)
    batches = minibatches(network, classes, per_domain)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = read_peak()
    for _ in range(3):
        algorithm.update(batches)
    return (read_peak() - before) / 1024


def read_peak() -> int:
    """Return the peak resident memory of this process in KiB (Linux)."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def measure(names: list[str], case: tuple[str, int, int], rounds: int) -> dict[str, dict[str, Any]]:
    """Return ``milliseconds``, the ratio ``relative`` to ERM and ``mebibytes`` of each update."""
    torch.manual_seed(0)
    batches, erm = minibatches(*case), make("ERM", *case)
    algorithms = {name: make(name, *case) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for is_warm in [False] + [True] * rounds:
        for name, algorithm in algorithms.items():
            own, unit = time_update(algorithm, batches), time_update(erm, batches)
            if is_warm:
                times[name].append(own)
                ratios[name].append(own / unit)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = pool.starmap(measure_memory, [(name, *case) for name in names], chunksize=1)
    return {
        name: {
            "milliseconds": statistics.median(times[name]),
            "relative": statistics.median(ratios[name]),
            "mebibytes": added,
        }
        for name, added in zip(names, memory, strict=True)
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--network", choices=sorted(SIZES), default="small_cnn")
    parser.add_argument("--classes", type=int, nargs="+", default=[10])
    parser.add_argument("--per_domain", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--algorithms", nargs="+", default=registry.algorithm_names())
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    found = {}
    for classes in options.classes:
        case = (options.network, classes, options.per_domain)
        print(f"{options.network}, {options.per_domain} images per domain, K = {classes}")
        found[str(classes)] = measure(options.algorithms, case, options.rounds)
        for name, row in found[str(classes)].items():
            figures = f"{row['milliseconds']:>9.1f} ms{row['relative']:>8.2f} times ERM"
            print(f"{name:<12}{figures}{row['mebibytes']:>9.0f} MiB", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
