"""The time of one update of every algorithm, relative to ERM's and to the passes that it needs.

    python -m benchmarks.update [--network small_cnn] [--classes 10] [--per_domain 32]
                                [--rounds 30] [--algorithms NDCL MLDG] [--json FILE] [--parts]

Every round makes two updates of each algorithm in turn (some alternate between two kinds), each
beside two of ERM and, for the costly ones, the passes of two updates (benchmarks/passes.py), so
that a slow moment of the machine falls on all; figures are medians over the rounds, ratios those
of each round. Times are CPU seconds of this process on one thread, so other work on the machine
shows less. Three source domains; BoDA's refreshes of its centroids, one in 120 updates by default,
are left out. --parts splits the updates of NDCL instead.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import itertools
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils.data import Subset, TensorDataset

from benchmarks.passes import PASSES
from ndcl_domainbed import losses, registry
from ndcl_domainbed.algorithms import ndcl
from ndcl_domainbed.training.environment import keep_freed_memory

SOURCES = 3
SIZES = {"small_cnn": 28, "mnist_cnn": 28, "resnet18": 224}
LATE = 10**9
"""What counts as the number of updates made; beyond all warm-up phases."""
WARM = {"feat_update_freq": LATE}


def make(name: str, network: str, classes: int, per_domain: int) -> Any:
    """Return an algorithm that is ready to train, with its penalties switched on."""
    hparams = registry.default_hparams(name, "DigitsDG")
    hparams |= {"backbone": network, "pretrained": False, "batch_size": per_domain}
    hparams |= {key: 0 for key in hparams if key.endswith("anneal_iters")}
    hparams |= {key: value for key, value in WARM.items() if key in hparams}
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


def milliseconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Return the CPU milliseconds of one of two calls."""
    started = time.process_time()
    function(*arguments)
    function(*arguments)
    return 500 * (time.process_time() - started)


def measure(
    names: list[str], network: str, classes: int, per_domain: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Return the figures of each algorithm.

    ``milliseconds`` of an update and its ratio ``relative`` to ERM's; for algorithms in PASSES,
    the ratio ``passes`` of the passes alone to ERM's update and ``overhead`` of the update to them.
    """
    torch.manual_seed(0)
    batches = minibatches(network, classes, per_domain)
    erm = make("ERM", network, classes, per_domain)
    algorithms = {name: make(name, network, classes, per_domain) for name in names}
    plain = {name: copy.deepcopy(algorithms[name]) for name in names if name in PASSES}
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds + 1):
        for name, algorithm in algorithms.items():
            own = milliseconds(algorithm.update, batches)
            needed = milliseconds(PASSES[name], plain[name], batches) if name in plain else 0.0
            unit = milliseconds(erm.update, batches)
            figures = {"milliseconds": own, "relative": own / unit}
            if needed:
                figures |= {"passes": needed / unit, "overhead": own / needed}
            seen[name].append(figures)
    return {name: medians(runs[1:]) for name, runs in seen.items()}


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure; the first run names them."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def timed_parts(algorithm: ndcl.NDCL, batches: list[Any]) -> dict[str, float]:
    """Make one update; return the CPU milliseconds of its parts, of the rest and of all."""
    spent: defaultdict[str, float] = defaultdict(float)

    def watched(function: Callable[..., Any], *names: str) -> Callable[..., Any]:
        turns = itertools.cycle(names)

        def timed(*arguments: Any, **keywords: Any) -> Any:
            started = time.process_time()
            result = function(*arguments, **keywords)
            spent[next(turns)] += 1000 * (time.process_time() - started)
            return result

        return timed

    places: list[tuple[Any, str, tuple[str, ...]]] = [
        (algorithm, "_embed", ("real pass", "mixed pass")),
        (ndcl, "hard_negatives", ("hard negatives",)),
        (losses, "reweighted_cross_entropy", ("L_ce",)),
        (losses, "negatives_contrast", ("L_con",)),
        (losses, "batch_prototypes", ("L_const",)),
        (losses, "prototype_alignment", ("L_const",)),
        (torch.Tensor, "backward", ("backward",)),
        (algorithm.optimizer, "step", ("optimizer",)),
    ]
    with contextlib.ExitStack() as stack:
        for place, attribute, names in places:
            replacement = watched(getattr(place, attribute), *names)
            stack.enter_context(mock.patch.object(place, attribute, replacement))
        started = time.process_time()
        algorithm.update(batches)
        total = 1000 * (time.process_time() - started)
    return {**spent, "rest": total - sum(spent.values()), "update": total}


def measure_parts(
    network: str, classes: list[int], per_domain: int, rounds: int
) -> dict[int, dict[str, float]]:
    """Return the medians of the parts for each number of classes, interleaved."""
    torch.manual_seed(0)
    cases = [
        (make("NDCL", network, k, per_domain), minibatches(network, k, per_domain)) for k in classes
    ]
    seen = [[timed_parts(*case) for case in cases] for _ in range(rounds + 1)]
    return {k: medians([run[place] for run in seen[1:]]) for place, k in enumerate(classes)}


def print_parts(found: dict[int, dict[str, float]]) -> None:
    """Print a column for each number of classes."""
    print(f"{'milliseconds':<16}" + "".join(f"{f'K = {k}':>10}" for k in found))
    for name in next(iter(found.values())):
        print(f"{name:<16}" + "".join(f"{parts[name]:>10.2f}" for parts in found.values()))


def print_figures(found: dict[str, dict[str, float]]) -> None:
    """Print a line for each algorithm."""
    print(f"{'':<12}{'update':>12}{'/ ERM':>8}{'passes / ERM':>14}{'update / passes':>17}")
    for name, figure in found.items():
        line = f"{name:<12}{figure['milliseconds']:>9.1f} ms{figure['relative']:>8.2f}"
        if "passes" in figure:
            line += f"{figure['passes']:>14.2f}{figure['overhead']:>17.2f}"
        print(line, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--network", choices=sorted(SIZES), default="small_cnn")
    parser.add_argument("--classes", type=int, nargs="+", default=[10])
    parser.add_argument("--per_domain", type=int, nargs="+", default=[32])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--algorithms", nargs="+", default=registry.algorithm_names())
    parser.add_argument("--json", help="write the figures of the last --per_domain to this file")
    parser.add_argument("--parts", action="store_true", help="split NDCL's updates instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    for per_domain in options.per_domain:
        setting = f"{options.network}, {per_domain} images per domain"
        if options.parts:
            print(setting)
            print_parts(measure_parts(options.network, options.classes, per_domain, options.rounds))
            continue
        found = {}
        for classes in options.classes:
            print(f"{setting}, K = {classes}")
            case = options.algorithms, options.network, classes, per_domain, options.rounds
            found[str(classes)] = measure(*case)
            print_figures(found[str(classes)])
        if options.json:
            Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
