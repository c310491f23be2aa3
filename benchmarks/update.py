"""The time of one update of every algorithm, relative to ERM's.

    python -m benchmarks.update [--network small_cnn] [--classes 10] [--per_domain 32]
                                [--rounds 30] [--algorithms NDCL MLDG] [--json FILE]

Every round makes two updates of each algorithm in turn (some alternate between two kinds), each
beside two of ERM, so that a slow moment of the machine falls on both; the figure is the median over
the rounds of the ratio. Times are CPU seconds of this process on one thread, so other work on the
machine hardly shows. Three source domains; BoDA's refreshes of its centroids, one in 120 updates by
default, are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Subset, TensorDataset

from ndcl_domainbed import registry

SOURCES = 3
SIZES = {"small_cnn": 28, "mnist_cnn": 28, "resnet18": 224}
NEVER = 10**9
WARM = {"boda_start_step": 0, "feat_update_freq": NEVER}
"""Penalties are switched on from the first update."""


def make(name: str, network: str, classes: int, per_domain: int) -> Any:
    """Return an algorithm that is ready to train."""
    hparams = registry.default_hparams(name, "DigitsDG")
    hparams |= {"backbone": network, "pretrained": False, "batch_size": per_domain}
    hparams |= {key: 0 for key in hparams if key.endswith("anneal_iters")}
    hparams |= {key: value for key, value in WARM.items() if key in hparams}
    side = SIZES[network]
    images = TensorDataset(torch.randn(classes, 3, side, side), torch.arange(classes))
    hparams.train_sets = [Subset(images, range(classes))] * SOURCES
    hparams.label_counts = torch.randint(1, 100, (SOURCES, classes)).numpy()
    hparams.n_steps = 5001
    return registry.get_algorithm_class(name)((3, side, side), classes, SOURCES, hparams)


def minibatches(network: str, classes: int, per_domain: int) -> list[Any]:
    """Return one random batch per source domain."""
    side = SIZES[network]
    return [
        (torch.randn(per_domain, 3, side, side), torch.randint(classes, (per_domain,)))
        for _ in range(SOURCES)
    ]


def seconds(algorithm: Any, batches: list[Any]) -> float:
    """Return the CPU seconds of two updates."""
    started = time.process_time()
    algorithm.update(batches)
    algorithm.update(batches)
    return time.process_time() - started


def measure(
    names: list[str], network: str, classes: int, per_domain: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Return the milliseconds of an update, and its ratio to ERM's, of each algorithm."""
    torch.manual_seed(0)
    batches = minibatches(network, classes, per_domain)
    erm = make("ERM", network, classes, per_domain)
    algorithms = {name: make(name, network, classes, per_domain) for name in names}
    for algorithm in (erm, *algorithms.values()):
        seconds(algorithm, batches)
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, algorithm in algorithms.items():
            seen[name].append((seconds(algorithm, batches), seconds(erm, batches)))
    return {
        name: {
            "milliseconds": 500 * statistics.median(own for own, _ in pairs),
            "relative": statistics.median(own / plain for own, plain in pairs),
        }
        for name, pairs in seen.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--network", choices=sorted(SIZES), default="small_cnn")
    parser.add_argument("--classes", type=int, nargs="+", default=[10])
    parser.add_argument("--per_domain", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--algorithms", nargs="+", default=registry.algorithm_names())
    parser.add_argument("--json", help="write the figures to this file as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for classes in options.classes:
        print(f"{options.network}, K = {classes}, {options.per_domain} images per domain")
        figures = measure(
            options.algorithms, options.network, classes, options.per_domain, options.rounds
        )
        for name, figure in figures.items():
            print(f"{name:<12}{figure['milliseconds']:>9.1f} ms{figure['relative']:>8.2f}")
        found[str(classes)] = figures
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
