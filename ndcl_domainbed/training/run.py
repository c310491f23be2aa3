"""One run, from its arguments to its files; it resumes where a killed one stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from imbalance_splits.whole_files import remove_partial_files, whole_file
from ndcl_domainbed.errors import InputError
from ndcl_domainbed.locks import locked
from ndcl_domainbed.run_folder import (
    BEST_MODEL_FILE,
    DONE_FILE,
    ERR_FILE,
    LOCK_FILE,
    MODEL_FILE,
    OUT_FILE,
    RECORDS_FILE,
    RESUME_FILE,
    SPLIT_FILE,
    read_data_digest,
)
from ndcl_domainbed.training import checkpoints, output, records
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.batches import StepBatches, ViewPairs
from ndcl_domainbed.training.callbacks import (
    Callback,
    all_line_files,
    callbacks_from_flags,
    line_file,
)
from ndcl_domainbed.training.checkpoints import Progress
from ndcl_domainbed.training.data_reader import DataReader
from ndcl_domainbed.training.environment import describe_environment, keep_freed_memory
from ndcl_domainbed.training.feed import (
    BatchStream,
    RunReader,
    Task,
    evaluation_batch_size,
    plan_tasks,
)
from ndcl_domainbed.training.loop import Loop, save_model
from ndcl_domainbed.training.output import report_write_errors
from ndcl_domainbed.training.preparation import Run, prepare
from ndcl_domainbed.training.scalar_logs import SCALARS_FOLDER, open_log
from ndcl_domainbed.training.stopping import StopRequest
from ndcl_domainbed.training.variants import Variants


def train(
    arguments: TrainArguments,
    callbacks: Sequence[Callback] = (),
    pause_after: int | None = None,
) -> None:
    """Train, evaluate and record one run in ``arguments.output_dir``.

    ``callbacks`` observe the run, besides those that ``arguments`` ask for. After ``pause_after``
    updates, if there are more to make, the run saves its progress and returns. A run that was
    killed resumes from where it last saved its progress; one that is done is left alone. On SIGTERM
    or SIGINT it saves its progress and leaves with the exit status that belongs to the signal; on
    a second one it leaves at once. Raises InputError for arguments or data that cannot be used, or
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
            _check_data(folder, arguments)
            if not arguments.keep_resume:
                checkpoints.remove_progress(folder)
            print(f"{folder} is done already; start over with --no_resume.")
            return
        with output.logged_to(folder):
            _print_mapping("Environment:", describe_environment())
            _print_mapping("Args:", arguments.as_record())
            run = prepared or prepare(arguments, callbacks)
            _print_mapping("HParams:", run.hparams)
            tested = [run.dataset.environments[env] for env in run.dataset.test_envs]
            for note in [f"Test domains: {', '.join(tested)}", *run.dataset.notes]:
                print(note)
            _train(run, min(pause_after or run.steps, run.steps))


def _is_done(folder: Path, arguments: TrainArguments) -> bool:
    """Tell whether this run is complete. InputError if the folder holds another run's records."""
    path = folder / RECORDS_FILE
    for record in records.read(path)[:1]:
        if "args" in record:
            checkpoints.check_same_run(record["args"], arguments, path)
    return (folder / DONE_FILE).exists()


def _check_data(folder: Path, arguments: TrainArguments) -> None:
    """Raise InputError if the data of a complete run changed since, if they can still be read."""
    then, now = read_data_digest(folder), None
    if then:
        with suppress(InputError):
            now = DataReader().digest(arguments)
    if now:
        checkpoints.check_same_data(then, now, folder / SPLIT_FILE)


def _clear(folder: Path, callbacks: Sequence[Callback]) -> None:
    """Remove what an earlier run left in ``folder``."""
    checkpoints.remove_progress(folder)
    names = [DONE_FILE, RECORDS_FILE, OUT_FILE, ERR_FILE, MODEL_FILE, BEST_MODEL_FILE]
    names += all_line_files(callbacks)
    for path in [folder / name for name in names] + list(folder.glob("model_step*.pkl")):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / SCALARS_FOLDER, ignore_errors=True)


def _print_mapping(title: str, mapping: dict[str, Any]) -> None:
    print(title)
    for name, value in sorted(mapping.items()):
        print(f"\t{name}: {value}")


def _train(run: Run, end: int) -> None:
    """Make the first ``end`` updates; if these are all, save the model."""
    folder, last = run.folder, run.steps - 1
    remove_partial_files(folder)
    reader = _open_reader(run)
    progress = _restore_progress(run, reader)
    state = progress.callbacks.setdefault("variants", {}) if run.arguments.variants else {}
    variants = Variants(run, state)
    reader.extra = variants.extra()
    _write_text(folder / SPLIT_FILE, _describe_split(run), "before the first step")
    if progress.step >= 0:
        print(f"Resuming after step {progress.step}.")
    _check_records(run, folder / RECORDS_FILE, progress)
    made = _repair_records(folder / RECORDS_FILE, progress)
    for callback in run.callbacks:
        _repair_records(folder / line_file(callback.name), progress)
    steps = range(progress.step + 1, end)
    tasks = plan_tasks(steps, run.is_checkpoint, None if progress.recorded else progress.step)
    with (
        StopRequest() as stop,
        open_log(run.arguments, folder, progress.first_unrecorded) as log,
        BatchStream(reader, tasks, run.workers, run.device) as stream,
    ):
        loop = Loop(run, progress, made, stream, log, stop, variants)
        loop.run()
        if end < run.steps:
            loop.pause()
            return
        save_model(run, MODEL_FILE, last)
        _write_text(folder / DONE_FILE, "done", f"after step {last}")
        if not run.arguments.keep_resume:
            checkpoints.remove_progress(folder)


def _describe_split(run: Run) -> str:
    """Return what stands in ``split.json``: training counts, shot groups, digest, as JSON."""
    dataset, limits = run.dataset, run.dataset.thresholds
    content = {
        "environments": list(dataset.environments),
        "classes": list(dataset.classes),
        "train_counts": {
            dataset.environments[env]: [int(n) for n in counts]
            for env, counts in zip(dataset.sources, dataset.label_counts, strict=True)
        },
        "thresholds": limits and {"many": limits.many, "few": limits.few},
        "shots": dataset.shot_groups,
        "data": run.data,
    }
    return json.dumps(content, indent=1) + "\n"


def _write_text(path: Path, text: str, when: str) -> None:
    with report_write_errors(path, when), whole_file(path) as partial:
        partial.write_text(text)


def _check_records(run: Run, path: Path, progress: Progress) -> None:
    """Raise InputError if a record is missing that the run will not make again."""
    there = {record["step"] for record in records.read(path)}
    checkpoints_before = filter(run.is_checkpoint, range(progress.first_unrecorded))
    missing = [step for step in checkpoints_before if step not in there]
    if missing:
        raise InputError(
            f"{path} lacks the record of step {missing[0]}: restore the file, or start over with "
            "--no_resume."
        )


def _repair_records(path: Path, progress: Progress) -> list[dict[str, Any]]:
    """Cut the records back to those that the run will not make again, and return these."""
    with report_write_errors(path, "before the first step"):
        repaired = records.truncate_after(path, progress.first_unrecorded - 1)
    if repaired.torn:
        print(f"{path.name} ended in a torn line, which was removed.")
    if repaired.later:
        print(f"{path.name} held {repaired.later} later record(s), which will be made again.")
    return repaired.kept


def _open_reader(run: Run) -> RunReader:
    """Return the reader of all that the run sees."""
    dataset, size = run.dataset, run.hparams["batch_size"]
    adapting = run.arguments.task == "domain_adaptation"
    seed = run.arguments.seed + 1
    unlabeled = StepBatches(dataset.unlabeled_sets if adapting else [], size, seed)
    if run.arguments.unlabeled_fraction:
        plain = [dataset.evaluation_sets[env, "uda"] for env in dataset.sources]
        unlabeled = ViewPairs(dataset.unlabeled_sets, plain, size, seed)
    return RunReader(
        StepBatches(
            dataset.train_sets, size, run.arguments.seed,
            class_balanced=bool(run.hparams.get("class_balanced", False)),
        ),
        unlabeled,
        list(dataset.evaluation_sets.values()),
        evaluation_batch_size(dataset.input_shape),
        run.arguments.eval_images,
    )  # fmt: skip


def _restore_progress(run: Run, reader: RunReader) -> Progress:
    """Bring the run to where it last saved its progress, if it did, and return that."""

    def make_update() -> None:
        with BatchStream(reader, [Task(0, is_evaluation=False)], 0, run.device) as stream:
            run.algorithm.update(*stream.minibatches())

    return checkpoints.load_progress(run.folder / RESUME_FILE, run, make_update)
