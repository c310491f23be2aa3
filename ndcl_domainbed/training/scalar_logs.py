"""Logs of the numbers in records for other programs to show; ``results.jsonl`` stays the record."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError, needs_package
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.output import report_write_errors

SCALARS_FOLDER = "tensorboard"
PROJECT = "ndcl-domainbed"
"""The project on Weights & Biases, unless WANDB_PROJECT names another."""

LogRecord = Callable[[dict[str, Any]], None]
"""Logs the numbers of one record."""


@contextmanager
def open_log(arguments: TrainArguments, folder: Path, first_step: int) -> Iterator[LogRecord]:
    """Yield what logs the records of a run from ``first_step`` on, as ``arguments.log`` says.

    Raises InputError if the package for it is missing.
    """
    if arguments.log is None:
        yield lambda _record: None
        return
    opened = _LOGS[arguments.log](arguments, folder, first_step)
    with opened as write:

        def log(record: dict[str, Any]) -> None:
            step = record["step"]
            numbers = {
                _tag(name): value
                for name, value in record.items()
                if isinstance(value, int | float) and name != "step"
            }
            with report_write_errors(folder, f"after step {step}"):
                write(numbers, step)

        yield log


@contextmanager
def _tensorboard(_arguments: TrainArguments, folder: Path, first_step: int) -> Iterator[Any]:
    """Write TensorBoard's event files.

    What an earlier attempt logged from ``first_step`` on no longer counts.
    """
    with needs_package(
        "--log tensorboard needs TensorBoard: pip install 'ndcl-domainbed[tensorboard]'"
    ):
        from torch.utils.tensorboard import SummaryWriter
    with report_write_errors(folder / SCALARS_FOLDER, "before the first step"):
        writer: Any = SummaryWriter(folder / SCALARS_FOLDER, purge_step=first_step)

    def write(numbers: dict[str, float], step: int) -> None:
        for tag, value in numbers.items():
            writer.add_scalar(tag, value, step)
        writer.flush()

    try:
        yield write
    finally:
        writer.close()


@contextmanager
def _wandb(arguments: TrainArguments, folder: Path, first_step: int) -> Iterator[Any]:
    """Send the numbers to Weights & Biases or, with WANDB_MODE=offline, keep them for ``sync``.

    A resumed run continues the same one there, which keeps what it has of a step; a run that starts
    over replaces it.
    """
    with needs_package("--log wandb needs Weights & Biases: pip install 'ndcl-domainbed[wandb]'"):
        import wandb
    place = hashlib.md5(str(folder.resolve()).encode(), usedforsecurity=False).hexdigest()
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), dir=str(folder), id=place[:16],
            name=f"{arguments.algorithm} {arguments.dataset} {arguments.test_envs}",
            config=arguments.as_record(), resume="allow" if first_step else None,
        )  # fmt: skip
    except wandb.Error as error:
        raise InputError(
            f"--log wandb: {str(error).splitlines()[0]}\n"
            "Log in with 'wandb login', or set WANDB_MODE=offline."
        ) from error
    try:
        yield lambda numbers, step: run.log(numbers, step=step)
    finally:
        run.finish()


_LOGS = {"tensorboard": _tensorboard, "wandb": _wandb}


def _tag(name: str) -> str:
    """Return the name of a record's number in a log, where names are grouped by prefix.

    >>> _tag("env0_in_acc"), _tag("env1_out_2few"), _tag("loss")
    ('accuracy/env0_in', 'accuracy/env1_out_2few', 'training/loss')
    """
    if re.match(r"env\d+_", name):
        return f"accuracy/{name.removesuffix('_acc')}"
    return f"training/{name}"
