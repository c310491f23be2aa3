"""Time and memory of NDCL's own work: hard negatives and the three losses, without networks.

    python -m benchmarks.losses [--rounds 200] [--threads 1] [--clock cpu] [--compile]

Each round times every case once, one after the other, so that a slow moment of the machine falls
on all of them; the table gives medians in milliseconds. On a machine that others use as well, take
the clock 'cpu', which counts the time that this process was given. ``ce``, ``con``, ``const`` are
forward passes, ``backward`` is that of all three together, ``sum`` is everything. The batch has
three domains and labels drawn uniformly from K classes, its inputs are 3 x 28 x 28. The peak of
memory is that of the tensors that losses and backward pass allocate beyond their inputs, in batches
of which one class has 90 %. With --compile the three losses, forward and backward, are also timed
compiled, as ``train --compile`` has them: ``difference`` is the largest one of a value or gradient
to what it is without, relative to the largest entry.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler else talks on stderr

import torch
from torch.profiler import ProfilerActivity, profile

from ndcl_domainbed import losses
from ndcl_domainbed.hard_negatives import HardNegatives, hard_negatives
from ndcl_domainbed.training.environment import keep_freed_memory

CASES = [(7, 96), (10, 96), (65, 96), (345, 96), (7, 192), (10, 192), (65, 192), (345, 192)]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PARTS = ("hard negatives", "ce", "con", "const", "backward")


class Case:
    """A batch of N samples and K classes, with the leaves that the network would have made."""

    def __init__(self, labels: torch.Tensor, number_of_classes: int) -> None:
        number = len(labels)
        self.labels = labels
        self.domains = torch.arange(number) * 3 // number
        self.inputs = torch.rand(number, 3, 28, 28)
        self.logits = torch.randn(number, number_of_classes, requires_grad=True)
        self.mixed_logits = torch.randn(number, number_of_classes, requires_grad=True)
        self.generator = torch.Generator().manual_seed(0)

    def mix(self, posterior: torch.Tensor) -> HardNegatives:
        """Make the hard negatives."""
        return hard_negatives(self.inputs, self.labels, posterior.detach(), 0.2, self.generator)

    def cross_entropy(self) -> torch.Tensor:
        """Return L_ce."""
        return losses.reweighted_cross_entropy(self.logits, self.labels, self.domains)

    def contrast(self, posterior: torch.Tensor, made: HardNegatives) -> torch.Tensor:
        """Return L_con."""
        mixed = self.mixed_logits.softmax(dim=1)
        return losses.negatives_contrast(posterior, self.labels, mixed, made.classes)

    def alignment(self, posterior: torch.Tensor) -> torch.Tensor:
        """Return L_const."""
        found = losses.batch_prototypes(posterior, self.labels, self.domains)
        return losses.prototype_alignment(found.vectors, found.classes, found.active)

    def times(self, clock: Callable[[], float]) -> list[float]:
        """Return the milliseconds that each of PARTS takes, once."""
        marks = [clock()]
        posterior = self.logits.softmax(dim=1)
        made = self.mix(posterior)
        marks.append(clock())
        loss = self.cross_entropy()
        marks.append(clock())
        loss = loss.add(self.contrast(posterior, made), alpha=0.1)
        marks.append(clock())
        loss = loss.add(self.alignment(posterior), alpha=0.1)
        marks.append(clock())
        loss.backward()
        marks.append(clock())
        self.logits.grad = self.mixed_logits.grad = None
        return [1000 * (end - start) for start, end in itertools.pairwise(marks)]

    def all_losses(self, made: HardNegatives) -> torch.Tensor:
        """Return L."""
        posterior = self.logits.softmax(dim=1)
        contrast, alignment = self.contrast(posterior, made), self.alignment(posterior)
        return self.cross_entropy().add(contrast, alpha=0.1).add(alignment, alpha=0.1)

    def peak(self) -> float:
        """Return the peak of memory that losses and backward pass allocate, in MiB."""
        made = self.mix(self.logits.softmax(dim=1))
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            posterior = self.logits.softmax(dim=1)
            loss = self.cross_entropy() + self.contrast(posterior, made) + self.alignment(posterior)
            loss.backward()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            profiler.export_chrome_trace(str(path))
            events = json.loads(path.read_text())["traceEvents"]
        memory = sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"])
        level = peak = 0
        for event in memory:
            level += event["args"]["Bytes"]
            peak = max(peak, level)
        return peak / 2**20


def print_times(rounds: int, clock: Callable[[], float]) -> None:
    """Time all cases, interleaved, and print the medians."""
    cases = [Case(torch.randint(k, (n,)), k) for k, n in CASES]
    for _ in range(10):
        for case in cases:
            case.times(clock)
    seen = [[case.times(clock) for case in cases] for _ in range(rounds)]
    print(f"{'K':>5}{'N':>5}" + "".join(f"{name:>16}" for name in (*PARTS, "sum")))
    for position, (k, n) in enumerate(CASES):
        runs = [times[position] for times in seen]
        parts = [statistics.median(part) for part in zip(*runs, strict=True)]
        total = statistics.median(sum(run) for run in runs)
        print(f"{k:>5}{n:>5}" + "".join(f"{value:>16.2f}" for value in (*parts, total)))


def print_memory() -> None:
    """Print the peaks of memory in the worst batch, and how they grow with K and with N."""
    print(f"\n{'K':>5}{'N':>5}{'peak in MiB':>16}   (one class has 90 % of the batch)")
    for k, n in [(7, 320), (345, 320), (345, 640)]:
        labels = torch.where(torch.arange(n) % 10 < 9, 0, torch.randint(k, (n,)))
        print(f"{k:>5}{n:>5}{Case(labels, k).peak():>16.1f}")


def print_compiled(rounds: int, clock: Callable[[], float]) -> None:
    """Print what the losses take compiled and not, in turn, and how far they differ."""
    titles = ("as they are", "compiled", "to compile, s", "difference")
    print(f"\n{'K':>5}{'N':>5}" + "".join(f"{title:>16}" for title in titles))
    for k, n in [(10, 96), (345, 96)]:
        case = Case(torch.randint(k, (n,)), k)
        made = case.mix(case.logits.softmax(dim=1))
        variants = (case.all_losses, torch.compile(case.all_losses))
        values, times = [], []
        for losses_of in variants:
            times.append(spent(case, losses_of, made, time.perf_counter))
            values.append((losses_of(made).detach(), *gradients(case, losses_of, made)))
        pairs = zip(*values, strict=True)
        difference = max(float((one - other).abs().max() / one.abs().max()) for one, other in pairs)
        seen = [[spent(case, one, made, clock) for one in variants] for _ in range(rounds)]
        plain, compiled = (statistics.median(column) for column in zip(*seen, strict=True))
        took = times[1] / 1000
        print(f"{k:>5}{n:>5}{plain:>16.2f}{compiled:>16.2f}{took:>16.1f}{difference:>16.1e}")


def gradients(
    case: Case, losses_of: Callable[[HardNegatives], torch.Tensor], made: HardNegatives
) -> list[torch.Tensor]:
    """Return the gradients of the losses in the outputs of the network."""
    return list(torch.autograd.grad(losses_of(made), [case.logits, case.mixed_logits]))


def spent(
    case: Case,
    losses_of: Callable[[HardNegatives], torch.Tensor],
    made: HardNegatives,
    clock: Callable[[], float],
) -> float:
    """Return the milliseconds of the losses and their backward pass."""
    start = clock()
    gradients(case, losses_of, made)
    return 1000 * (clock() - start)


def main() -> None:
    """Read the flags and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="how often each case is timed")
    parser.add_argument("--threads", type=int, default=1, help="threads that torch may use")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="what is measured")
    parser.add_argument("--compile", action="store_true", help="time the compiled losses too")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    keep_freed_memory()  # as training does
    torch.manual_seed(0)
    print_times(flags.rounds, CLOCKS[flags.clock])
    print_memory()
    if flags.compile:
        print_compiled(flags.rounds, CLOCKS[flags.clock])


if __name__ == "__main__":
    main()
