"""The training loop: update, evaluate, record, save the progress."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from numbers import Real
from textwrap import shorten
from typing import Any, NoReturn, TypeVar

import torch

from imbalance_splits.shots import RECORD_SUFFIXES
from ndcl_domainbed import backend
from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.run_folder import BEST_MODEL_FILE, RECORDS_FILE, RESUME_FILE
from ndcl_domainbed.training import checkpoints, environment, evaluation, output, records, seeding
from ndcl_domainbed.training.acceleration import explain_compile_failure
from ndcl_domainbed.training.batches import Batch
from ndcl_domainbed.training.callbacks import line_file
from ndcl_domainbed.training.checkpoints import Progress
from ndcl_domainbed.training.feed import BatchStream
from ndcl_domainbed.training.output import report_write_errors
from ndcl_domainbed.training.preparation import Run
from ndcl_domainbed.training.scalar_logs import LogRecord
from ndcl_domainbed.training.stopping import Stopped, StopRequest
from ndcl_domainbed.training.variants import Variants

T = TypeVar("T")

_OWN_NAMES = re.compile(
    "step|epoch|step_time|mem_gb|(val_)?class_acc|variants|hparams|args|backend|network"
    rf"|env\d+_(in|out|val|uda)_(acc|macro_f1|{'|'.join(RECORD_SUFFIXES.values())})"
)
"""What a record holds besides the values that updates return."""


def save_model(run: Run, name: str, step: int) -> None:
    """Write the model to the run's folder, unless the run keeps none."""
    if run.arguments.skip_model_save:
        return
    path = run.folder / name
    with report_write_errors(path, f"after step {step}"):
        checkpoints.save_model(path, run, step)


class Loop:
    """The part of a run that is still to be done.

    ``made`` are the records that it has. :meth:`run` raises Stopped, having saved the progress, if
    ``stop`` asks for it; RunFailure if a loss is no longer a number, an update returns no dict of
    numbers, a file cannot be written, a loader process dies, or a compiled network fails;
    InputError if an update returns a value under a name that a record has already, or if a
    callback cannot observe the algorithm.
    """

    def __init__(
        self, run: Run, progress: Progress, made: Iterable[dict[str, Any]], stream: BatchStream,
        log: LogRecord, stop: StopRequest, variants: Variants,
    ) -> None:  # fmt: skip
        self._run = run
        self._variants = variants
        self._progress = progress
        self._stream = stream
        self._log = log
        self._stop = stop
        self._columns: list[str] = []
        self._saved_at = time.monotonic()
        scores = (evaluation.validation_score(run.dataset, record) for record in made)
        self._best = max((score for score in scores if score is not None), default=-1.0)

    def run(self) -> None:
        """Do what is left of the run."""
        try:
            self._do_tasks()
        except RuntimeError as error:
            if str(error).startswith("DataLoader worker"):
                raise RunFailure(
                    f"a loader process died after step {self._progress.step}: "
                    f"{str(error).splitlines()[0].strip()}\n"
                    "Start again to resume; fewer of them (--num_workers) need less memory."
                ) from error
            if self._run.arguments.compile:
                explain_compile_failure(error, self._run.arguments.algorithm)
            raise

    def pause(self) -> None:
        """Save the progress for the process that will resume the run."""
        self._save_progress(seeding.generator_states())
        print(f"Paused after step {self._progress.step}.", flush=True)

    def _do_tasks(self) -> None:
        run, tasks = self._run, self._stream.tasks
        run.algorithm.train()
        for callback in run.callbacks:
            callback.start(run, self._progress.callbacks.setdefault(callback.name, {}))
        title = f"{run.arguments.algorithm} on {run.arguments.dataset}"
        self._display = output.ProgressDisplay(title, self._progress.step + 1, run.steps)
        with self._display:
            for task in tasks:
                if task.is_evaluation:
                    self._record()
                else:
                    self._update(task.step)
                    self._display.show_step(task.step)
                if self._stop.signal is not None and task is not tasks[-1]:
                    self._leave(self._stop.signal, seeding.generator_states())

    def _update(self, step: int) -> None:
        run, means = self._run, self._progress.means
        started = time.perf_counter()
        minibatches, unlabeled = self._stream.minibatches()
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
        self._variants.after_update(step)
        self._progress.step = step
        self._progress.recorded = not run.is_checkpoint(step)

    def _record(self) -> None:
        """Evaluate, print a row, append the record, save models and progress."""
        run, step = self._run, self._progress.step
        record = self._measure()
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
        self._progress.recorded = True
        self._progress.means = {}
        self._log(record)
        score = evaluation.validation_score(run.dataset, record)
        if score is not None and score > self._best:
            self._best = score
            save_model(run, BEST_MODEL_FILE, step)
        if run.arguments.save_model_every_checkpoint:
            save_model(run, f"model_step{step}.pkl", step)
        is_due = time.monotonic() - self._saved_at >= checkpoints.SAVE_SECONDS
        if (is_due and step < run.steps - 1) or run.arguments.keep_resume:
            self._save_progress(seeding.generator_states())

    def _append(self, name: str, record: dict[str, Any]) -> None:
        path = self._run.folder / name
        with report_write_errors(path, f"after step {self._progress.step}"):
            records.append(path, record)

    def _measure(self) -> dict[str, Any]:
        """Return the numbers of a record."""
        run, step = self._run, self._progress.step
        parts = run.dataset.evaluation_sets.items()
        smallest = min(len(part) for (_, split), part in parts if split == "in")
        record: dict[str, Any] = {
            name: sum(values) / len(values) for name, values in self._progress.means.items()
        }
        generators = seeding.generator_states()
        self._evaluated = 0
        self._display.start_evaluation()

        with evaluation.evaluation_mode(run.algorithm):
            variants = self._variants.prepare(
                step,
                lambda split: self._unless_stopped(self._stream.split(split), generators),
                lambda name: self._unless_stopped(self._stream.extra(name, step), generators),
            )
            counts = [
                evaluation.count_hits(
                    run.algorithm, variants, self._batches_of(split, generators),
                    run.dataset.num_classes, run.device,
                )
                for split in range(len(parts))
            ]  # fmt: skip
        figures = {
            name: evaluation.accuracies(run.dataset, [one[name] for one in counts].__getitem__)
            for name in (evaluation.PLAIN, *variants)
        }
        record |= figures.pop(evaluation.PLAIN)
        if run.arguments.variants:
            record["variants"] = figures
        return record | {
            "step": step,
            "epoch": step * run.hparams["batch_size"] / smallest,  # the target counts too
            "mem_gb": environment.peak_memory_gb(run.device),
        }

    def _batches_of(self, split: int, generators: dict[str, Any]) -> Iterator[Batch]:
        """Yield the batches of a split; if asked to stop, leave: it is evaluated again then."""
        for x, y in self._unless_stopped(self._stream.split(split), generators):
            yield x, y
            self._evaluated += len(y)
            self._display.show_evaluation(self._evaluated, self._stream.images_of_evaluation)

    def _unless_stopped(self, items: Iterable[T], generators: dict[str, Any]) -> Iterator[T]:
        """Yield ``items``; if asked to stop, save the progress and leave."""
        for item in items:
            if self._stop.signal is not None:
                self._leave(self._stop.signal, generators)
            yield item

    def _print_row(self, record: dict[str, Any]) -> None:
        shown = output.shown_columns(record)
        if shown != self._columns:
            print(output.row(shown))
        print(output.row([record[name] for name in shown]), flush=True)
        self._columns = shown
        self._display.note_output()

    def _save_progress(self, generators: dict[str, Any]) -> None:
        path = self._run.folder / RESUME_FILE
        with report_write_errors(path, f"after step {self._progress.step}"):
            checkpoints.save_progress(path, self._run, self._progress, generators)
        self._saved_at = time.monotonic()

    def _leave(self, signal: int, generators: dict[str, Any]) -> NoReturn:
        """Save the progress, say so and leave."""
        self._save_progress(generators)
        leaving = Stopped(signal, self._progress.step)
        print(leaving.message, file=sys.stderr, flush=True)
        raise leaving


def _numbers(algorithm: Any, returned: Any, step: int) -> dict[str, float]:
    """Return what ``update`` returned as plain numbers, which may be NaN or infinite.

    A tensor of one element counts as a number, as it does in DomainBed. Raises RunFailure if it
    returned anything but a dict of numbers; InputError for a name that is taken, whose values
    would be lost among the run's own, or spoil them.
    """
    items = returned.items() if isinstance(returned, Mapping) else [(None, returned)]
    numbers = {}
    for name, value in items:
        is_single = isinstance(value, torch.Tensor) and value.numel() == 1
        number = value.item() if is_single else value
        if not isinstance(name, str) or not isinstance(number, Real):
            shown = repr(value) if name is None else f"{name!r}: {value!r}"
            raise RunFailure(
                f"{type(algorithm).__name__}.update() returned {shorten(shown, 80)} at step {step}."
                "\nIt must return a dict of numbers, such as {'loss': loss.item()}."
            )
        if _OWN_NAMES.fullmatch(name):
            raise InputError(
                f"{type(algorithm).__name__}.update() returned {name!r} at step {step}, a name "
                "that the run's own records use: return the value under another name."
            )
        numbers[name] = float(number)
    return numbers
