"""The training loop: update, evaluate, record, save the progress."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from numbers import Real
from textwrap import shorten
from typing import Any, NoReturn

import torch

from imbalance_splits.shots import RECORD_SUFFIXES
from ndcl_domainbed import backend
from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.run_folder import RECORDS_FILE
from ndcl_domainbed.training import checkpoints, environment, evaluation, output, records, seeding
from ndcl_domainbed.training.acceleration import explain_compile_failure
from ndcl_domainbed.training.batches import Batch
from ndcl_domainbed.training.callbacks import line_file
from ndcl_domainbed.training.checkpoints import Progress
from ndcl_domainbed.training.feed import Feed
from ndcl_domainbed.training.files import writing
from ndcl_domainbed.training.preparation import Run
from ndcl_domainbed.training.scalar_logs import Log
from ndcl_domainbed.training.stopping import Stopped, StopRequest, StopRequested

_OWN_NAMES = re.compile(
    "step|epoch|step_time|mem_gb|class_acc|hparams|args|backend|network"
    rf"|env\d+_(in|out|val|uda)_(acc|{'|'.join(RECORD_SUFFIXES.values())})"
)
"""What a record holds besides the values that updates return."""


def make_steps(run: Run, progress: Progress, feed: Feed, log: Log, stop: StopRequest) -> None:
    """Make the steps of ``run`` that come after ``progress``.

    Raises Stopped, having saved the progress, if ``stop`` asks for it; RunFailure if a loss is no
    longer a number, an update returns no dict of numbers, a file cannot be written, a loader
    process dies, or a compiled network fails; InputError if an update returns a value under a name
    that a record has already, or if a callback cannot observe the algorithm.
    """
    steps = _Steps(run, progress, feed, log, stop)
    try:
        steps.make()
    except RuntimeError as error:
        if str(error).startswith("DataLoader worker"):
            raise RunFailure(
                f"a loader process died after step {progress.step}: {_first_line(error)}\n"
                "Start again to resume; fewer of them (--num_workers) need less memory."
            ) from error
        if run.arguments.compile:
            explain_compile_failure(error, run.arguments.algorithm)
        raise


def save_model(run: Run, name: str, step: int) -> None:
    """Write the model to the run's folder, unless it is not wanted."""
    if run.arguments.skip_model_save:
        return
    path = run.folder / name
    with writing(path, f"after step {step}"):
        checkpoints.save_model(
            path, run.algorithm, run.arguments, run.hparams, run.dataset, run.network
        )


class _Steps:
    """The steps that are still to be made, and what happens between them."""

    def __init__(
        self, run: Run, progress: Progress, feed: Feed, log: Log, stop: StopRequest
    ) -> None:
        self.run = run
        self.progress = progress
        self.feed = feed
        self.log = log
        self.stop = stop
        self.columns: list[str] = []

    def make(self) -> None:
        """Make the steps."""
        run, first = self.run, self.progress.step + 1
        run.algorithm.train()
        for callback in run.callbacks:
            callback.start(run, self.progress.callbacks.setdefault(callback.name, {}))
        if not self.progress.recorded:
            self._checkpoint()
        with output.progress(run.arguments.algorithm, first, run.steps) as advance:
            for step in range(first, run.steps):
                self._update(step)
                if run.is_checkpoint(step):
                    self._checkpoint()
                if self.stop.signal is not None and step < run.steps - 1:
                    self._leave(self.stop.signal, seeding.generator_states())
                advance()

    def _update(self, step: int) -> None:
        run, means = self.run, self.progress.means
        started = time.perf_counter()
        minibatches, unlabeled = self.feed.minibatches()
        with ExitStack() as contexts:
            for callback in run.callbacks:
                contexts.enter_context(callback.around_update(step, minibatches))
            returned = run.algorithm.update(minibatches, unlabeled)
        means.setdefault("step_time", []).append(time.perf_counter() - started)
        for name, value in _numbers(run.algorithm, returned, step).items():
            if not math.isfinite(value):
                raise RunFailure(
                    f"{run.arguments.algorithm} on {run.arguments.dataset}: {name} became {value} "
                    f"at step {step}. Try a smaller learning rate (now {run.hparams.get('lr')})."
                )
            means.setdefault(name, []).append(value)
        self.progress.step = step
        self.progress.recorded = not run.is_checkpoint(step)

    def _checkpoint(self) -> None:
        """Evaluate, print a row, append the record, save the progress."""
        run, step = self.run, self.progress.step
        generators = seeding.generator_states()
        try:
            record = self._measured()
        except StopRequested as request:
            self._leave(request.signal, generators)  # the evaluation will be made again
        self._print_row(record)
        record |= {
            "hparams": dict(run.hparams),
            "args": run.arguments.as_record(),
            "backend": backend.DESCRIPTION,
        }
        if run.network is not None:
            record["network"] = run.network
        self._append(RECORDS_FILE, record)
        for callback in run.callbacks:
            line = callback.on_record(step)
            if line is not None:
                self._append(line_file(callback.name), {**line, "step": step})
        self.progress.recorded = True
        self.progress.means = {}
        self.log.add(record)
        if run.arguments.save_model_every_checkpoint:
            save_model(run, f"model_step{step}.pkl", step)
        if step < run.steps - 1 or run.arguments.keep_resume:
            self._save_progress(seeding.generator_states())

    def _append(self, name: str, record: dict[str, Any]) -> None:
        path = self.run.folder / name
        with writing(path, f"after step {self.progress.step}"):
            records.append(path, record)

    def _measured(self) -> dict[str, Any]:
        """Return the numbers of a record."""
        run, step = self.run, self.progress.step
        parts = run.dataset.evaluation_sets.items()
        smallest = min(len(part) for (_, split), part in parts if split == "in")
        record: dict[str, Any] = {
            name: sum(values) / len(values) for name, values in self.progress.means.items()
        }
        record |= evaluation.accuracies(run.dataset, self._count)
        return record | {
            "step": step,
            "epoch": step * run.hparams["batch_size"] / smallest,  # the target counts too
            "mem_gb": environment.peak_memory_gb(run.device),
        }

    def _count(self, split: int) -> evaluation.ClassCounts:
        run, batches = self.run, self._until_stopped(split)
        return evaluation.evaluate(run.algorithm, batches, run.dataset.num_classes, run.device)

    def _until_stopped(self, split: int) -> Iterator[Batch]:
        for batch in self.feed.split(split):
            self.stop.check()
            yield batch

    def _print_row(self, record: dict[str, Any]) -> None:
        shown = output.shown_columns(record)
        if shown != self.columns:
            print(output.row(shown))
        print(output.row([record[name] for name in shown]), flush=True)
        self.columns = shown

    def _save_progress(self, generators: dict[str, Any]) -> None:
        run, progress = self.run, self.progress
        path = run.folder / checkpoints.RESUME_FILE
        with writing(path, f"after step {progress.step}"):
            checkpoints.save_progress(
                path, run.algorithm, run.arguments, progress, generators, run.network
            )

    def _leave(self, signal: int, generators: dict[str, Any]) -> NoReturn:
        """Save the progress, say so and leave."""
        self._save_progress(generators)
        leaving = Stopped(signal, self.progress.step)
        print(leaving.message, file=sys.stderr, flush=True)
        raise leaving


def _numbers(algorithm: Any, returned: Any, step: int) -> dict[str, float]:
    """Return what ``update`` returned as plain numbers, which may be NaN or infinite.

    A tensor of one element counts as a number, as it does in DomainBed. Raises RunFailure if it
    returned anything else than a dict of numbers; InputError for a name that is not free, whose
    values would be lost among the run's own, or spoil them.
    """
    if not isinstance(returned, Mapping):
        raise _not_numbers(algorithm, repr(returned), step)
    numbers = {}
    for name, value in returned.items():
        is_single = isinstance(value, torch.Tensor) and value.numel() == 1
        number = value.item() if is_single else value
        if not isinstance(name, str) or not isinstance(number, Real):
            raise _not_numbers(algorithm, f"{name!r}: {value!r}", step)
        if _OWN_NAMES.fullmatch(name):
            raise InputError(
                f"{type(algorithm).__name__}.update() returned {name!r} at step {step}, a name "
                "that the run's own records use: return the value under another name."
            )
        numbers[name] = float(number)
    return numbers


def _not_numbers(algorithm: Any, returned: str, step: int) -> RunFailure:
    """Return the error for an ``update`` that ``returned`` something else than numbers."""
    return RunFailure(
        f"{type(algorithm).__name__}.update() returned {shorten(returned, 80)} at step {step}.\n"
        "It must return a dict of numbers, such as {'loss': loss.item()}."
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].strip()
