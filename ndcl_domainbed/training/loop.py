"""One run, from its arguments to its files; it resumes where a killed one stopped."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imbalance_splits.whole_files import remove_partial_files, whole_file
from ndcl_domainbed.locks import locked
from ndcl_domainbed.run_folder import (
    DONE_FILE,
    ERR_FILE,
    LOCK_FILE,
    MODEL_FILE,
    OUT_FILE,
    RECORDS_FILE,
    SPLIT_FILE,
)
from ndcl_domainbed.training import checkpoints, environment, output, records
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.batches import StepBatches
from ndcl_domainbed.training.callbacks import (
    Callback,
    all_line_files,
    callbacks_from_flags,
    line_file,
)
from ndcl_domainbed.training.checkpoints import Progress
from ndcl_domainbed.training.feed import Feed, Item, Source, evaluation_batch_size, plan
from ndcl_domainbed.training.files import writing
from ndcl_domainbed.training.memory import keep_freed_memory
from ndcl_domainbed.training.preparation import Run, prepare, split_description
from ndcl_domainbed.training.scalar_logs import SCALARS_FOLDER, open_log
from ndcl_domainbed.training.steps import make_steps, save_model
from ndcl_domainbed.training.stopping import StopRequest


def train(arguments: TrainArguments, callbacks: Sequence[Callback] = ()) -> None:
    """Train, evaluate and record one run in ``arguments.output_dir``.

    ``callbacks`` observe the run, besides those that ``arguments`` ask for. A run that was killed
    resumes from where it last saved its progress; one that is done is left alone. On SIGTERM or
    SIGINT it saves its progress and leaves with the exit status that belongs to the signal; on a
    second one it leaves at once. Raises InputError for arguments or data that cannot be used, or
    if another process works in the folder; RunFailure if the loss is no longer a number, an update
    returns no numbers, a file cannot be written, or a loader process dies.
    """
    arguments.check()
    callbacks = [*callbacks, *callbacks_from_flags(arguments)]
    keep_freed_memory()
    folder = output.make_folder(arguments.output_dir)
    with locked(folder / LOCK_FILE):
        prepared = None
        if arguments.no_resume:
            prepared = prepare(arguments, callbacks)  # may fail, and what is there would be lost
            _clear(folder, callbacks)
        elif _is_done(folder, arguments):
            if not arguments.keep_resume:
                checkpoints.remove_progress(folder)
            print(f"{folder} is done already; start over with --no_resume.")
            return
        with output.logged_to(folder):
            _print_mapping("Environment:", environment.describe_environment())
            _print_mapping("Args:", arguments.as_record())
            run = prepared or prepare(arguments, callbacks)
            _print_mapping("HParams:", run.hparams)
            for note in run.dataset.notes:
                print(note)
            _train(run)


def _is_done(folder: Path, arguments: TrainArguments) -> bool:
    """Tell whether this run is complete. InputError if the folder holds another run's records."""
    path = folder / RECORDS_FILE
    for record in records.read(path)[:1]:
        if "args" in record:
            checkpoints.check_same_run(record["args"], arguments, path)
    return (folder / DONE_FILE).exists()


def _clear(folder: Path, callbacks: Sequence[Callback]) -> None:
    """Remove what an earlier run left in ``folder``."""
    checkpoints.remove_progress(folder)
    names = [DONE_FILE, RECORDS_FILE, OUT_FILE, ERR_FILE, MODEL_FILE]
    names += all_line_files(callbacks)
    for path in [folder / name for name in names] + list(folder.glob("model_step*.pkl")):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / SCALARS_FOLDER, ignore_errors=True)


def _print_mapping(title: str, mapping: dict[str, Any]) -> None:
    print(title)
    for name, value in sorted(mapping.items()):
        print(f"\t{name}: {value}")


def _train(run: Run) -> None:
    """Make the steps that are still to do, and save the model."""
    folder, last = run.folder, run.steps - 1
    remove_partial_files(folder)
    _write_text(folder / SPLIT_FILE, split_description(run.dataset), "before the first step")
    source = _source(run)
    progress = _restored(run, source)
    if progress.step >= 0:
        print(f"Resuming after step {progress.step}.")
    for name in (RECORDS_FILE, *(line_file(one.name) for one in run.callbacks)):
        _repair_records(folder / name, progress)
    with (
        StopRequest() as stop,
        open_log(run.arguments.log, folder, progress.first_unrecorded) as log,
        _open_feed(run, source, progress) as feed,
    ):
        make_steps(run, progress, feed, log, stop)
        save_model(run, MODEL_FILE, last)
        _write_text(folder / DONE_FILE, "done", f"after step {last}")
        if not run.arguments.keep_resume:
            checkpoints.remove_progress(folder)


def _write_text(path: Path, text: str, when: str) -> None:
    with writing(path, when), whole_file(path) as partial:
        partial.write_text(text)


def _repair_records(path: Path, progress: Progress) -> None:
    """Cut the records back to those that the run will not make again, and say so."""
    with writing(path, "before the first step"):
        repaired = records.truncate_after(path, progress.first_unrecorded - 1)
    if repaired.torn:
        print(f"{path.name} ended in a torn line, which was removed.")
    if repaired.later:
        print(f"{path.name} held {repaired.later} later record(s), which will be made again.")


def _source(run: Run) -> Source:
    """Return what the run reads."""
    dataset, size = run.dataset, run.hparams["batch_size"]
    adapting = run.arguments.task == "domain_adaptation"
    return Source(
        StepBatches(
            dataset.train_sets, size, run.arguments.seed,
            class_balanced=bool(run.hparams.get("class_balanced", False)),
        ),
        StepBatches(dataset.unlabeled_sets if adapting else [], size, run.arguments.seed + 1),
        list(dataset.evaluation_sets.values()),
        evaluation_batch_size(dataset.input_shape),
    )  # fmt: skip


def _restored(run: Run, source: Source) -> Progress:
    """Bring the run to where it last saved its progress, if it did, and return that."""

    def make_update() -> None:
        with Feed(source, [Item(None, 0)], 0, run.device) as feed:
            run.algorithm.update(*feed.minibatches())

    path = run.folder / checkpoints.RESUME_FILE
    return checkpoints.load_progress(
        path, run.algorithm, run.arguments, run.device, make_update, run.network
    )


def _open_feed(run: Run, source: Source, progress: Progress) -> Feed:
    """Return what the run reads from where it resumes."""
    steps = range(progress.step + 1, run.steps)
    items = plan(source, steps, run.is_checkpoint, evaluate_first=not progress.recorded)
    return Feed(source, items, run.workers, run.device)
