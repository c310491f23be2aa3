"""What ``--diagnostics`` costs: the time of updates that are watched against those that are not.

    python -m benchmarks.diagnostics [--network small_cnn] [--classes 10] [--per_domain 32]
                                     [--rounds 15] [--algorithms ERM NDCL] [--data_dir DIR]

Every round makes 16 updates that are watched and 16, of a copy of the algorithm, that are not, in
alternating order; figures are medians over the rounds. Times are CPU seconds of this process on one
thread, so other work on the machine shows less. A record, made at checkpoints, is timed by itself,
with the line that it writes.
With --data_dir, the rounds are whole runs on DigitsDG instead, with evaluations and records.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.update import SIZES, SOURCES, make, minibatches
from ndcl_domainbed.diagnostics.update_watcher import UpdateWatcher
from ndcl_domainbed.training import records
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.run import train

UPDATES = 16


def milliseconds(update: Callable[[list[Any]], Any], batches: list[Any]) -> float:
    """Return the CPU milliseconds of an update, as the mean of ``UPDATES``."""
    started = time.process_time()
    for _ in range(UPDATES):
        update(batches)
    return 1000 * (time.process_time() - started) / UPDATES


def measure(name: str, options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Return the medians: milliseconds of a plain update and a record, ratio of a watched one."""
    torch.manual_seed(0)
    sizes = options.network, options.classes, options.per_domain
    batches = minibatches(*sizes)
    plain = make(name, *sizes)
    watched = copy.deepcopy(plain)
    watcher = UpdateWatcher(watched, range(SOURCES), options.classes, torch.device("cpu"), {})

    def update(minibatches: list[Any]) -> None:
        with watcher.watch(minibatches):
            watched.update(minibatches)

    seen = []
    for number in range(options.rounds + 1):
        first = number % 2 == 0
        before = milliseconds(update, batches) if first else 0.0
        unwatched = milliseconds(plain.update, batches)
        own = before or milliseconds(update, batches)
        started = time.process_time()
        records.append(folder / "lines.jsonl", watcher.record(number))
        spent = 1000 * (time.process_time() - started)
        seen.append({"plain": unwatched, "ratio": own / unwatched, "record": spent})
    return {key: statistics.median(run[key] for run in seen[1:]) for key in seen[0]}


def measure_runs(name: str, data_dir: str, rounds: int, folder: Path) -> dict[str, float]:
    """Return the medians: CPU seconds of a plain run on DigitsDG, ratio of a watched one."""
    seen = []
    for number in range(rounds):
        spent = {}
        for watched in (True, False) if number % 2 else (False, True):
            arguments = TrainArguments(
                dataset="DigitsDG", imbalance="TotalHeavyTail", algorithm=name, data_dir=data_dir,
                skip_model_save=True, diagnostics=watched, no_resume=True,
                output_dir=str(folder / str(watched)),
            )  # fmt: skip
            started = time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                train(arguments)
            spent[watched] = time.process_time() - started
        seen.append({"plain": spent[False], "ratio": spent[True] / spent[False]})
    return {key: statistics.median(run[key] for run in seen) for key in seen[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--network", choices=sorted(SIZES), default="small_cnn")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--per_domain", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--algorithms", nargs="+", default=["ERM", "NDCL"])
    parser.add_argument("--data_dir", help="folder of DigitsDG: measure whole runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.data_dir:
        print("DigitsDG, TotalHeavyTail: CPU seconds of a run, and watched / plain")
        for name in options.algorithms:
            with tempfile.TemporaryDirectory() as folder:
                run = measure_runs(name, options.data_dir, options.rounds, Path(folder))
            print(f"{name:<12}{run['plain']:>9.1f} s{run['ratio']:>18.3f}", flush=True)
        return
    print(f"{options.network}, {options.per_domain} images per domain, K = {options.classes}")
    print(f"{'':<12}{'update':>12}{'watched / plain':>18}{'record':>12}")
    for name in options.algorithms:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(name, options, Path(folder))
        print(
            f"{name:<12}{found['plain']:>9.1f} ms{found['ratio']:>18.3f}{found['record']:>9.2f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
