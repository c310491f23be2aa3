"""All that a run reads, in the order in which it reads it, through one set of loader processes.

What a run does is known from its start: the updates, and the evaluations between them. So one
loader serves both: it starts its processes once, and they read the next minibatches while the last
images of a split are evaluated.
"""

from __future__ import annotations

import math
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from imbalance_splits.errors import InputError
from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.testbed import datasets
from ndcl_domainbed.training.batches import Batch, StepBatches, in_memory, take
from ndcl_domainbed.training.seeding import generators_restored, seed_cpu
from ndcl_domainbed.training.stopping import Stopped, ignore_signals

KEPT_BYTES = 2**27
"""The most that is kept of evaluation batches that need no decoding."""


class Task(NamedTuple):
    """One thing that a run does: the update of ``step``, or the evaluation after it."""

    step: int
    is_evaluation: bool


def plan_tasks(
    steps: Iterable[int], is_checkpoint: Callable[[int], bool], evaluate_first: int | None = None
) -> list[Task]:
    """Return what a run does that makes ``steps``, in order.

    ``evaluate_first`` is a step before them whose evaluation is still to be made.
    """
    tasks = [] if evaluate_first is None else [Task(evaluate_first, is_evaluation=True)]
    for step in steps:
        tasks.append(Task(step, is_evaluation=False))
        if is_checkpoint(step):
            tasks.append(Task(step, is_evaluation=True))
    return tasks


class Item(NamedTuple):
    """What is read at once: the minibatches of step ``at`` or, of a split, a batch from ``at``.

    ``split`` may also name one of the reader's ``extra`` batches; then ``at`` is their step.
    """

    split: int | str | None
    at: int


class Extra(NamedTuple):
    """What an evaluation reads before the splits, for the variants of a run.

    ``splits``: splits that are read once more; ``batches``: by name, how many steps, and the
    minibatches; those named in ``at_end`` are read with the evaluation of step ``last`` alone.
    """

    splits: Sequence[int] = ()
    batches: Mapping[str, tuple[int, StepBatches]] = {}
    at_end: Sequence[str] = ()
    last: int = -1


class RunReader(Dataset[Any]):
    """Reads items.

    An item of a step is (minibatches, unlabeled minibatches), one (x, y) per domain each. The
    images of a split come in a random order that is the same each time: where a prediction depends
    on the batch (MTL, ARM), a batch must not hold the images of one class, as a split sorted by
    class would give it. Of a split with more than ``limit`` images only the first of
    these are read.
    """

    def __init__(
        self,
        labeled: StepBatches,
        unlabeled: StepBatches,
        splits: Sequence[Subset[Any]],
        batch_size: int,
        limit: int | None = None,
    ) -> None:
        self.extra = Extra()
        self.labeled = labeled
        self.unlabeled = unlabeled
        self.splits = splits
        self.batch_size = batch_size
        self.sizes = [min(len(split), limit or len(split)) for split in splits]
        self._kept: dict[Item, Batch] = {}
        self._free = KEPT_BYTES

    def __getstate__(self) -> bytes:
        """Return the content for a process that must import the user's own files first."""
        return pickle.dumps(vars(self))

    def __setstate__(self, content: bytes) -> None:
        """Fill in the content, whose datasets may be of classes in these files."""
        datasets.classes()
        vars(self).update(pickle.loads(content))

    def __getitem__(self, item: Item) -> Any:
        """Return what ``item`` stands for."""
        if item.split is None:
            return self.labeled[item.at], self.unlabeled[item.at]
        if isinstance(item.split, str):
            return self.extra.batches[item.split][1][item.at]
        if item in self._kept:
            return self._kept[item]
        subset = self.splits[item.split]
        order = evaluation_order(len(subset))[: self.sizes[item.split]]
        positions = order[item.at : item.at + self.batch_size]
        if in_memory(subset):
            batch = take(subset.dataset, np.asarray(subset.indices, dtype=np.int64)[positions])
            if batch[0].nbytes <= self._free:
                self._kept[item] = batch
                self._free -= batch[0].nbytes
            return batch
        with generators_restored():
            seed_cpu(seed_hash("evaluation", *item))
            return default_collate([subset[int(position)] for position in positions])

    def items_of_split(self, split: int) -> list[Item]:
        """Return the items of a split."""
        return [Item(split, at) for at in range(0, self.sizes[split], self.batch_size)]

    def items_of(self, task: Task) -> list[Item]:
        """Return what ``task`` reads, in order."""
        if not task.is_evaluation:
            return [Item(None, task.step)]
        splits = [*self.extra.splits, *range(len(self.splits))]
        before = [item for name in self.extra.batches for item in self.items_of_extra(name, task)]
        return before + [item for split in splits for item in self.items_of_split(split)]

    def items_of_extra(self, name: str, task: Task) -> list[Item]:
        """Return the items of the extra minibatches ``name`` in an evaluation."""
        if name in self.extra.at_end and task.step != self.extra.last:
            return []
        return [Item(name, at) for at in range(self.extra.batches[name][0])]


def evaluation_order(images: int) -> np.ndarray:
    """Return the order in which a split of this many images is evaluated."""
    return np.random.RandomState(seed_hash("evaluation", images)).permutation(images)


def evaluation_batch_size(input_shape: Sequence[int]) -> int:
    """Return how many images to evaluate at once: 64 large ones, as DomainBed does, to 256.

    Batches of loader processes lie in shared memory, several at a time. Vectors, which no loader
    process reads, come in batches of 4,096.
    """
    if len(input_shape) == 1:
        return 4096
    return min(256, max(64, 2**23 // math.prod(input_shape)))


class BatchStream:
    """Hands out, on a device, what ``tasks`` read; it must be asked in their order.

    Used as a context manager: the loader processes end with the block, whatever ends it.
    """

    def __init__(
        self, reader: RunReader, tasks: Sequence[Task], workers: int, device: torch.device
    ) -> None:
        self.tasks = tasks
        self.images_of_evaluation = sum(reader.sizes)
        self._reader = reader
        self._device = device
        self._workers = workers
        items = (item for task in tasks for item in reader.items_of(task))
        self._read: Iterator[Any]
        if workers == 0:
            self._read = map(reader.__getitem__, items)
        else:
            loader = DataLoader(
                reader, batch_size=None, sampler=items, num_workers=workers,
                pin_memory=device.type == "cuda", generator=torch.Generator(),
                worker_init_fn=ignore_signals,
            )  # fmt: skip
            self._read = iter(loader)

    def __enter__(self) -> BatchStream:
        return self

    def __exit__(self, kind: object, error: object, _trace: object) -> None:
        if self._workers and isinstance(error, Stopped) and error.at_once:
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
        """Kill the loader processes that are left: one may hang."""
        for process in getattr(self._read, "_workers", []):
            process.kill()
            process.join()

    def minibatches(self) -> tuple[list[Batch], list[torch.Tensor] | None]:
        """Return the arguments of ``update`` for the next step."""
        labeled, unlabeled = self._next()
        images = [self._to_device(x) for x, _ in unlabeled]
        return [(self._to_device(x), self._to_device(y)) for x, y in labeled], images or None

    def split(self, index: int) -> Iterator[Batch]:
        """Yield the batches of the split ``index``."""
        for _ in self._reader.items_of_split(index):
            x, y = self._next()
            yield self._to_device(x), self._to_device(y)

    def extra(self, name: str, step: int) -> Iterator[list[Batch]]:
        """Yield the extra minibatches ``name`` of the evaluation after ``step``."""
        for _ in self._reader.items_of_extra(name, Task(step, is_evaluation=True)):
            yield [(self._to_device(x), self._to_device(y)) for x, y in self._next()]

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

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device, non_blocking=True)
