"""The files that hold a model, and the file that holds all a run needs to resume."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import whole_file
from ndcl_domainbed.run_folder import RESUME_FILE
from ndcl_domainbed.training import seeding, state
from ndcl_domainbed.training.arguments import (
    Role,
    TrainArguments,
    argument_names,
    read_arguments,
)

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


def save_model(
    path: Path,
    algorithm: torch.nn.Module,
    arguments: TrainArguments,
    hparams: dict[str, Any],
    dataset: Any,
    network: dict[str, Any] | None = None,
) -> None:
    """Write a model in DomainBed's form: a dict of arguments, shapes, hparams and weights.

    Keys beyond DomainBed's: ``model_label_counts``, the training counts (M, K) as nested lists,
    which some algorithms need at construction; ``model_classes``, their names;
    ``model_preprocessing``, how an image becomes an input (None if the dataset does not say);
    ``model_network``, the pretrained network as it stands in a record. All values are plain types
    and tensors, so ``torch.load(path, weights_only=True)`` reads it.
    """
    content = {
        "args": arguments.as_record(),
        "model_input_shape": tuple(dataset.input_shape),
        "model_num_classes": int(dataset.num_classes),
        "model_num_domains": len(dataset.train_sets),
        "model_hparams": dict(hparams),
        "model_label_counts": dataset.label_counts.tolist(),
        "model_classes": list(dataset.classes),
        "model_preprocessing": dataset.preprocessing,
        "model_network": network,
        "model_dict": {name: tensor.cpu() for name, tensor in algorithm.state_dict().items()},
    }
    with whole_file(path) as partial:
        _save(content, partial)


def save_progress(
    path: Path,
    algorithm: torch.nn.Module,
    arguments: TrainArguments,
    progress: Progress,
    generators: dict[str, Any],
    network: dict[str, Any] | None = None,
) -> None:
    """Write the state of the run to the resume file at ``path``.

    ``network`` describes a pretrained network, as it stands in a record.
    """
    content = {
        "step": progress.step,
        "recorded": progress.recorded,
        "means": progress.means,
        "callbacks": progress.callbacks,
        "args": arguments.as_record(),
        "network": network,
        "algorithm": state.capture(algorithm),
        "generators": generators,
    }
    with whole_file(path) as partial:
        _save(content, partial)


def _save(content: dict[str, Any], path: Path) -> None:
    """Save with torch; what the system has against it is an OSError, as for any other file."""
    with path.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # torch's writer complains once more when it is closed after a write that failed.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_progress(
    path: Path,
    algorithm: torch.nn.Module,
    arguments: TrainArguments,
    device: torch.device,
    make_update: Callable[[], object],
    network: dict[str, Any] | None = None,
) -> Progress:
    """Restore the run from the resume file at ``path`` and return how far it was.

    Without such a file that is the start. ``make_update`` makes some update of the algorithm, for
    those that are complete only then. Raises InputError if the file belongs to another run, or to
    one on another ``network`` or other features, or cannot be read.
    """
    if not path.exists():
        return Progress()
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        check_same_run(content["args"], arguments, path)
        _check_same_network(content.get("network", network), network, path)
        state.restore(algorithm, content["algorithm"], make_update)
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
            difference = _difference(f"--{name}", theirs, now[name])
            raise InputError(f"{path} belongs to a run {difference}. {_AGAIN}")


def _check_same_network(saved: Any, now: Any, path: Path) -> None:
    if saved == now:
        return
    names = sorted(set(saved or {}) | set(now or {}))
    odd = [name for name in names if (saved or {}).get(name) != (now or {}).get(name)]
    raise InputError(
        f"{path} belongs to a run on another network: {', '.join(odd)} changed since. {_AGAIN}"
    )


def _difference(flag: str, theirs: Any, ours: Any) -> str:
    """Return in what a run with ``theirs`` differs from one with ``ours``, as flags are typed.

    >>> _difference("--test_envs", [0], [0, 1]), _difference("--steps", None, 300)
    ('with --test_envs 0, not 0 1', 'without --steps, not with --steps 300')
    """
    given, now = (_as_typed(flag, value) for value in (theirs, ours))
    if given and now:
        return f"with {given}, not {now.removeprefix(flag).lstrip()}"
    if given:
        return f"with {given}, not without it"
    return f"without {flag}, not with {'it' if now == flag else now}"


def _as_typed(flag: str, value: Any) -> str:
    """Return the flag as one types it for ``value``; an empty text if one leaves it out."""
    if value is None or value is False:
        return ""
    values = value if isinstance(value, list) else [value]
    return flag if value is True else f"{flag} {' '.join(map(str, values))}"


def remove_progress(folder: Path) -> None:
    """Remove the resume file, if there is one."""
    (folder / RESUME_FILE).unlink(missing_ok=True)
