"""All that a run reads, in the order in which it reads it, through one set of loader processes.

What a run reads is known from its start: the minibatches of a step, after the steps of a checkpoint
every split, and so on. So one loader serves training and evaluation: it starts its processes once,
and they go on reading the next minibatches while the last images of a split are evaluated.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from imbalance_splits.errors import InputError
from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.training.batches import Batch, StepBatches, in_memory, take
from ndcl_domainbed.training.seeding import generators_restored, seed_cpu
from ndcl_domainbed.training.stopping import StoppedAtOnce, leave_signals_to_parent


class Item(NamedTuple):
    """What is read at once: the minibatches of step ``at`` or, of a split, a batch from ``at``."""

    split: int | None
    at: int


@dataclass
class Source(Dataset[Any]):
    """Reads items.

    An item of a step is (minibatches, unlabelled minibatches), one (x, y) per domain each. The
    images of a split come in a random order that is the same each time: where a prediction depends
    on the batch (MTL, ARM), a batch must not hold the images of one class, as a split sorted by
    class would give it.
    """

    labelled: StepBatches
    unlabelled: StepBatches
    splits: Sequence[Subset[Any]]
    batch_size: int

    def __getitem__(self, item: Item) -> Any:
        """Return what ``item`` stands for."""
        if item.split is None:
            return self.labelled[item.at], self.unlabelled[item.at]
        subset = self.splits[item.split]
        order = np.random.RandomState(seed_hash("evaluation", len(subset))).permutation(len(subset))
        positions = order[item.at : item.at + self.batch_size]
        if in_memory(subset):
            return take(subset.dataset, np.asarray(subset.indices, dtype=np.int64)[positions])
        with generators_restored():
            seed_cpu(seed_hash("evaluation", *item))
            return default_collate([subset[int(position)] for position in positions])

    def starts(self, split: int) -> range:
        """Return the positions at which the batches of a split begin."""
        return range(0, len(self.splits[split]), self.batch_size)

    def evaluation(self) -> Iterator[Item]:
        """Yield the items of all splits."""
        for split in range(len(self.splits)):
            for start in self.starts(split):
                yield Item(split, start)


def evaluation_batch_size(input_shape: Sequence[int]) -> int:
    """Return how many images to evaluate at once: 64 large ones, as DomainBed does, to 256.

    Batches of loader processes lie in shared memory, several at a time. Vectors, which no loader
    process reads, come in batches of 4,096.
    """
    if len(input_shape) == 1:
        return 4096
    return min(256, max(64, 2**23 // math.prod(input_shape)))


def plan(
    source: Source,
    steps: range,
    is_checkpoint: Callable[[int], bool],
    *,
    evaluate_first: bool,
) -> Iterator[Item]:
    """Yield what a run that makes ``steps`` reads, in order."""
    if evaluate_first:
        yield from source.evaluation()
    for step in steps:
        yield Item(None, step)
        if is_checkpoint(step):
            yield from source.evaluation()


class Feed:
    """Hands out, on a device, what :class:`Source` reads; it must be asked in the plan's order.

    Used as a context manager: the loader processes end with the block, whatever ends it.
    """

    def __init__(
        self, source: Source, items: Iterable[Item], workers: int, device: torch.device
    ) -> None:
        self._source = source
        self._device = device
        self._workers = workers
        self._read: Iterator[Any]
        if workers == 0:
            self._read = (source[item] for item in items)
        else:
            loader = DataLoader(
                source, batch_size=None, sampler=items, num_workers=workers,
                pin_memory=device.type == "cuda", generator=torch.Generator(),
                worker_init_fn=leave_signals_to_parent,
            )  # fmt: skip
            self._read = iter(loader)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, kind: object, error: object, _trace: object) -> None:
        if self._workers and isinstance(error, StoppedAtOnce):
            kept = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's raises when one dies
            self._kill_processes()
            signal.signal(signal.SIGCHLD, kept)
        # Left to the garbage collector, the processes would live as long as the traceback of an
        # error, and the exit of this process waits for them.
        shut_down = getattr(self._read, "_shutdown_workers", None)
        if shut_down is not None:
            try:
                with suppress(RuntimeError):  # torch's, of a process that was killed: it is over
                    shut_down()
            finally:
                self._kill_processes()

    def _kill_processes(self) -> None:
        """Kill the loader processes that there still are: one may be in what never ends."""
        for process in getattr(self._read, "_workers", []):
            process.kill()
            process.join()

    def minibatches(self) -> tuple[list[Batch], list[torch.Tensor] | None]:
        """Return the arguments of ``update`` for the next step."""
        labelled, unlabelled = self._next()
        images = [self._moved(x) for x, _ in unlabelled]
        return [(self._moved(x), self._moved(y)) for x, y in labelled], images or None

    def split(self, index: int) -> Iterator[Batch]:
        """Yield the batches of the split ``index``."""
        for _ in self._source.starts(index):
            x, y = self._next()
            yield self._moved(x), self._moved(y)

    def _next(self) -> Any:
        """Return the next item; an InputError of a loader process keeps its own message only.

        torch raises it again here with the process's whole traceback as its message. Raises
        RuntimeError, its message beginning with "DataLoader worker", if a loader process has died:
        as torch does where it notices before the connection to the process breaks.
        """
        try:
            return next(self._read)
        except InputError as error:
            raise InputError(str(error).rstrip().rsplit("InputError: ", 1)[-1]) from None
        except (EOFError, OSError) as error:
            if self._workers == 0 or "in DataLoader worker process" in str(error):
                raise  # of the dataset's own
            reason = getattr(error, "strerror", None) or "end of file"
            raise RuntimeError(f"DataLoader worker does not answer: {reason}") from error

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device, non_blocking=True)
