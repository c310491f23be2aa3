"""The files that hold a model, and the file that holds all a run needs to go on."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from imbalance_splits.errors import InputError
from ndcl_domainbed.training import seeding, state
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.files import write_whole

RESUME_FILE = "resume.pt"
_AGAIN = "Use another --output_dir, or start over with --no_resume."
_FREE_TO_CHANGE = frozenset({"output_dir", "device", "num_workers", "no_resume", "data_dir"})


def save_model(
    path: Path,
    algorithm: torch.nn.Module,
    arguments: TrainArguments,
    hparams: dict[str, Any],
    dataset: Any,
    label_counts: Any,
) -> None:
    """Write a model in DomainBed's form: a dict of arguments, shapes, hparams and weights.

    One key more than DomainBed's, ``model_label_counts``, holds the training counts (M, K) as
    nested lists, which some algorithms need at construction. All values are plain types and
    tensors, so ``torch.load(path, weights_only=True)`` reads it.
    """
    content = {
        "args": arguments.as_record(),
        "model_input_shape": tuple(dataset.input_shape),
        "model_num_classes": int(dataset.num_classes),
        "model_num_domains": len(dataset.train_sets),
        "model_hparams": dict(hparams),
        "model_label_counts": label_counts.tolist(),
        "model_dict": {name: tensor.cpu() for name, tensor in algorithm.state_dict().items()},
    }
    write_whole(path, lambda partial: torch.save(content, partial))


def save_progress(
    folder: Path, algorithm: torch.nn.Module, arguments: TrainArguments, step: int
) -> None:
    """Write the state of the run after ``step`` to the folder's resume file."""
    content = {
        "step": step,
        "args": arguments.as_record(),
        "algorithm": state.capture(algorithm),
        "generators": seeding.generator_states(),
    }
    write_whole(folder / RESUME_FILE, lambda partial: torch.save(content, partial))


def load_progress(
    folder: Path, algorithm: torch.nn.Module, arguments: TrainArguments, device: torch.device
) -> int | None:
    """Restore the run from its resume file and return the step it had finished.

    Returns None if there is no such file. Raises InputError if it belongs to another run or
    cannot be read.
    """
    path = folder / RESUME_FILE
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        check_same_run(content["args"], arguments, path)
        state.restore(algorithm, content["algorithm"])
        generators = content["generators"]
        generators["torch"] = generators["torch"].cpu()
        generators["cuda"] = [saved.cpu() for saved in generators["cuda"]]
        seeding.restore_generator_states(generators)
    except (state.CannotResume, pickle.UnpicklingError, RuntimeError, KeyError, EOFError) as error:
        raise InputError(f"cannot go on from {path}: {error}\n{_AGAIN}") from error
    return int(content["step"])


def check_same_run(saved: dict[str, Any], arguments: TrainArguments, path: Path) -> None:
    """Raise InputError if the arguments ``saved`` in ``path`` are those of another run."""
    now = arguments.as_record()
    for name in sorted(now.keys() - _FREE_TO_CHANGE):
        if saved.get(name) != now[name]:
            theirs = f"--{name} {saved.get(name)}, not {now[name]}"
            raise InputError(f"{path} belongs to a run with {theirs}. {_AGAIN}")


def remove_progress(folder: Path) -> None:
    """Remove the resume file, if there is one."""
    (folder / RESUME_FILE).unlink(missing_ok=True)
