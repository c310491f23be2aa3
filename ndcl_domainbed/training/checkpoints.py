"""The files that hold a model, and the file that holds all a run needs to resume."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import whole_file
from ndcl_domainbed.run_folder import RESUME_FILE, describe_data_change
from ndcl_domainbed.training import seeding, state
from ndcl_domainbed.training.arguments import (
    Role,
    TrainArguments,
    argument_names,
    read_arguments,
)

if TYPE_CHECKING:
    from ndcl_domainbed.training.preparation import Run

SAVE_SECONDS = 10.0
"""Least seconds between two saves of progress: a shorter run is quicker to repeat."""

_AGAIN = "Use another --output_dir, or start over with --no_resume."


@dataclass
class Progress:
    """How far a run is: it has made the update of ``step``, -1 for none.

    ``means`` holds the values that updates returned since the last record, ``callbacks`` the
    state of each callback by name. ``recorded`` is False if the step is one with a record, and
    that is still to be made.
    """

    step: int = -1
    recorded: bool = True
    means: dict[str, list[float]] = field(default_factory=dict)
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def first_unrecorded(self) -> int:
        """The first step whose record, if it has one, is still to be made."""
        return self.step + 1 if self.recorded else self.step


def save_model(path: Path, run: Run, step: int) -> None:
    """Write the model after ``step`` in DomainBed's form: arguments, shapes, hparams, weights.

    Keys beyond DomainBed's: ``model_step``; ``model_label_counts``, the training counts (M, K) as
    nested lists, which some algorithms need at construction; ``model_classes``, their names;
    ``model_preprocessing``, how an image becomes an input (None if the dataset does not say);
    ``model_network``, the pretrained network as it stands in a record. All values are plain types
    and tensors, so ``torch.load(path, weights_only=True)`` reads it.
    """
    dataset, weights = run.dataset, run.algorithm.state_dict()
    content = {
        "args": run.arguments.as_record(),
        "model_input_shape": tuple(dataset.input_shape),
        "model_num_classes": int(dataset.num_classes),
        "model_num_domains": len(dataset.train_sets),
        "model_hparams": dict(run.hparams),
        "model_label_counts": dataset.label_counts.tolist(),
        "model_classes": list(dataset.classes),
        "model_preprocessing": dataset.preprocessing,
        "model_network": run.network,
        "model_step": step,
        "model_dict": _to_cpu(weights),
    }
    _save(content, path)


def _to_cpu(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights on the CPU; one that has two names, as ERM's have, is one tensor there."""
    moved: dict[Any, torch.Tensor] = {}
    found = {}
    for name, tensor in weights.items():
        key = tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
        if key not in moved:
            moved[key] = tensor.cpu()
        found[name] = moved[key]
    return found


def save_progress(path: Path, run: Run, progress: Progress, generators: dict[str, Any]) -> None:
    """Write the state of the run to the resume file at ``path``."""
    content = {
        **vars(progress),
        "args": run.arguments.as_record(),
        "network": run.network,
        "data": run.data,
        "algorithm": state.capture(run.algorithm),
        "generators": generators,
    }
    _save(content, path)


def _save(content: dict[str, Any], path: Path) -> None:
    """Save with torch; system errors are raised as OSError, as for any other file."""
    with whole_file(path) as partial, partial.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # torch's writer complains once more when it is closed after a write that failed.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_progress(path: Path, run: Run, make_update: Callable[[], object]) -> Progress:
    """Restore the run from the resume file at ``path`` and return how far it was.

    Without such a file that is the start. ``make_update`` makes some update of the algorithm, for
    those that are complete only then. Raises InputError if the file belongs to another run, to one
    on other data or another network, or cannot be read.
    """
    if not path.exists():
        return Progress()
    try:
        content = torch.load(path, map_location=run.device, weights_only=True)
        check_same_run(content["args"], run.arguments, path)
        check_same_data(content.get("data"), run.data, path)
        _check_same_network(content.get("network", run.network), run.network, path)
        state.restore(run.algorithm, content["algorithm"], make_update)
        generators = content["generators"]
        generators["torch"] = generators["torch"].cpu()
        generators["cuda"] = [saved.cpu() for saved in generators["cuda"]]
        seeding.restore_generator_states(generators)
        return Progress(
            int(content["step"]), bool(content["recorded"]), content["means"],
            content.get("callbacks", {}),
        )  # fmt: skip
    except (state.CannotResume, pickle.UnpicklingError, RuntimeError, KeyError, EOFError) as error:
        raise InputError(f"cannot resume from {path}: {error}\n{_AGAIN}") from error


def check_same_run(saved: dict[str, Any], arguments: TrainArguments, path: Path) -> None:
    """Raise InputError if the arguments ``saved`` in ``path`` are those of another run.

    A flag that is missing there was not known yet, and so not given.
    """
    now, then = arguments.as_record(), read_arguments(saved).as_record()
    for name in sorted(argument_names(Role.GRID, Role.RESULT)):
        theirs = then[name]
        if theirs != now[name]:
            raise InputError(
                f"{path} belongs to a run {_flag(name, theirs)}, not {_flag(name, now[name])}. "
                f"{_AGAIN}"
            )


def _flag(name: str, value: Any) -> str:
    """Return how a flag is typed for ``value``.

    >>> _flag("test_envs", [0, 1]), _flag("compile", True), _flag("steps", None)
    ('with --test_envs 0 1', 'with --compile', 'without --steps')
    """
    if value is None or value is False:
        return f"without --{name}"
    values = value if isinstance(value, list) else [value]
    return " ".join(["with", f"--{name}", *map(str, values if value is not True else [])])


def check_same_data(saved: dict[str, Any] | None, now: dict[str, Any], path: Path) -> None:
    """Raise InputError if the data of a run changed; ``saved`` None if ``path`` does not say."""
    change = describe_data_change(saved or now, now)
    if change:
        raise InputError(f"{path} belongs to a run on other data: {change}.\n{_AGAIN}")


def _check_same_network(saved: Any, now: Any, path: Path) -> None:
    if saved == now:
        return
    then, now = saved or {}, now or {}
    odd = [name for name in sorted(then | now) if then.get(name) != now.get(name)]
    raise InputError(
        f"{path} belongs to a run on another network: {', '.join(odd)} changed since. {_AGAIN}"
    )


def remove_progress(folder: Path) -> None:
    """Remove the resume file, if there is one."""
    (folder / RESUME_FILE).unlink(missing_ok=True)
