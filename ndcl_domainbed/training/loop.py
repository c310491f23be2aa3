"""The training loop: update, evaluate, record, and go on where a killed run stopped."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from imbalance_splits import shots
from ndcl_domainbed import backend
from ndcl_domainbed.errors import RunFailure
from ndcl_domainbed.training import batches, checkpoints, evaluation, output, records
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.environment import describe_environment
from ndcl_domainbed.training.files import remove_partial_files, write_whole
from ndcl_domainbed.training.preparation import Run, prepare, split_description

DONE_FILE = "done"
EVALUATION_BATCH = 256


def train(arguments: TrainArguments) -> None:
    """Train, evaluate and record one run in ``arguments.output_dir``.

    A run that has been killed goes on from its last checkpoint; one that is done is left alone.
    Raises InputError for arguments or data that cannot be used, RunFailure if the loss is no
    longer a number.
    """
    arguments.check()
    folder = output.make_folder(arguments.output_dir)
    if arguments.no_resume:
        _clear(folder)
    elif _is_done(folder, arguments):
        checkpoints.remove_progress(folder)
        print(f"{folder} is done already; start over with --no_resume.")
        return
    with output.logged_to(folder):
        _print_mapping("Environment:", describe_environment())
        _print_mapping("Args:", arguments.as_record())
        run = prepare(arguments)
        _print_mapping("HParams:", run.hparams)
        _train(run)


def _is_done(folder: Path, arguments: TrainArguments) -> bool:
    """Tell whether this run is complete. InputError if the folder holds another run's records."""
    path = folder / records.FILE_NAME
    first = path.read_bytes().splitlines()[:1] if path.exists() else []
    try:
        theirs = json.loads(first[0])["args"] if first else {}
    except (json.JSONDecodeError, KeyError):
        theirs = {}
    if theirs:
        checkpoints.check_same_run(theirs, arguments, path)
    return (folder / DONE_FILE).exists()


def _clear(folder: Path) -> None:
    """Remove what an earlier run left in ``folder``."""
    checkpoints.remove_progress(folder)
    names = (DONE_FILE, records.FILE_NAME, "out.txt", "err.txt", "model.pkl")
    for path in [folder / name for name in names] + list(folder.glob("model_step*.pkl")):
        path.unlink(missing_ok=True)


def _print_mapping(title: str, mapping: dict[str, Any]) -> None:
    print(title)
    for name, value in sorted(mapping.items()):
        print(f"\t{name}: {value}")


def _train(run: Run) -> None:
    """Run the steps that are still to do."""
    remove_partial_files(run.folder)
    description = split_description(run.dataset)
    write_whole(run.folder / "split.json", lambda partial: partial.write_text(description))
    finished = checkpoints.load_progress(run.folder, run.algorithm, run.arguments, run.device)
    first_step = 0 if finished is None else finished + 1
    records.truncate_after(run.folder / records.FILE_NAME, first_step - 1)
    if first_step:
        print(f"Going on after step {finished}.")
    means: dict[str, list[float]] = defaultdict(list)
    columns: list[str] = []
    minibatches = _minibatches(run, first_step)
    run.algorithm.train()
    with output.progress(run.arguments.algorithm, first_step, run.steps) as advance:
        for step in range(first_step, run.steps):
            started = time.perf_counter()
            values = run.algorithm.update(*next(minibatches))
            means["step_time"].append(time.perf_counter() - started)
            _check_finite(run, step, values)
            for name, value in values.items():
                means[name].append(value)
            if step % run.checkpoint_freq == 0 or step == run.steps - 1:
                columns = _checkpoint(run, step, means, columns)
                means.clear()
            advance()
    _save_model(run, "model.pkl")
    write_whole(run.folder / DONE_FILE, lambda partial: partial.write_text("done"))
    checkpoints.remove_progress(run.folder)


def _minibatches(run: Run, first_step: int) -> Any:
    """Yield the arguments of ``update`` for each step: minibatches and unlabelled images."""
    size, seed = run.hparams["batch_size"], run.arguments.seed
    labelled = batches.StepBatches(
        run.dataset.train_sets, size, seed,
        class_balanced=bool(run.hparams.get("class_balanced", False)),
    )  # fmt: skip
    pin = run.device.type == "cuda"
    steps = batches.step_loader(labelled, first_step, run.steps, run.workers, pin_memory=pin)
    adapting = run.arguments.task == "domain_adaptation"
    unlabelled = batches.StepBatches(run.dataset.unlabeled_sets, size, seed + 1)
    extra = batches.step_loader(
        unlabelled, first_step, run.steps if adapting else first_step, 0, pin_memory=pin
    )
    for minibatches in steps:
        moved = [(_to(x, run.device), _to(y, run.device)) for x, y in minibatches]
        yield moved, [_to(x, run.device) for x, _ in next(extra)] if adapting else None


def _to(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.to(device, non_blocking=True)


def _check_finite(run: Run, step: int, values: dict[str, float]) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise RunFailure(
                f"{run.arguments.algorithm} on {run.arguments.dataset}: {name} became {value} "
                f"at step {step}. Try a smaller learning rate (now {run.hparams.get('lr')})."
            )


def _checkpoint(
    run: Run, step: int, means: dict[str, list[float]], columns: list[str]
) -> list[str]:
    """Evaluate, print a row, append the record, save the progress; return the printed columns."""
    smallest = min(len(subset) for subset in run.dataset.train_sets)
    record: dict[str, Any] = {"step": step, "epoch": step * run.hparams["batch_size"] / smallest}
    record |= {name: sum(values) / len(values) for name, values in means.items()}
    record |= accuracies(run)
    record["mem_gb"] = peak_memory_gb(run.device)
    shown = output.shown_columns(record)
    if shown != columns:
        print(output.row(shown))
    print(output.row([record[name] for name in shown]), flush=True)
    record |= {
        "hparams": dict(run.hparams),
        "args": run.arguments.as_record(),
        "backend": backend.DESCRIPTION,
    }
    records.append(run.folder / records.FILE_NAME, record)
    if run.arguments.save_model_every_checkpoint:
        _save_model(run, f"model_step{step}.pkl")
    if step < run.steps - 1:
        checkpoints.save_progress(run.folder, run.algorithm, run.arguments, step)
    return shown


def accuracies(run: Run) -> dict[str, Any]:
    """Return the accuracy of every split, its shot groups', and the target's per class."""
    dataset = run.dataset
    values: dict[str, Any] = {}
    per_class: dict[str, list[float | None]] = {}
    for (env, split), subset in dataset.evaluation_sets.items():
        name = f"env{env}_{split}"
        loader = batches.evaluation_loader(subset, EVALUATION_BATCH, run.workers)
        counts = evaluation.evaluate(run.algorithm, loader, dataset.num_classes, run.device)
        values[f"{name}_acc"] = shots.overall_accuracy(*counts)
        if dataset.shot_groups is not None:
            for group, accuracy in shots.group_accuracies(*counts, dataset.shot_groups).items():
                values[f"{name}_{shots.RECORD_SUFFIXES[group]}"] = accuracy
        if env in dataset.test_envs:
            per_class[name] = shots.class_accuracies(*counts)
    return values | {"class_acc": per_class}


def peak_memory_gb(device: torch.device) -> float:
    """Return the most memory used so far, in GiB: the GPU's, or the process's on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _save_model(run: Run, name: str) -> None:
    if not run.arguments.skip_model_save:
        checkpoints.save_model(
            run.folder / name, run.algorithm, run.arguments, run.hparams, run.dataset,
            run.dataset.label_counts,
        )  # fmt: skip
