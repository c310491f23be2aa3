"""The arguments of one run: DomainBed's, plus this project's. Each is declared here, once.

The flags of ``train`` and ``sweep``, the name of a sweep's job and the check that a run resumes
as itself follow from the fields of :class:`TrainArguments`.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
import os
from collections.abc import Sequence
from dataclasses import field
from typing import Any

from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.text_files import find_repeated
from ndcl_domainbed.variant_names import DEFAULTS, check_variants

TASKS = ("domain_generalization", "domain_adaptation")
PRECISIONS = ("fp32", "bf16")
LOGS = ("tensorboard", "wandb")
NO_IMBALANCE = "none"
"""What stands for DomainBed's ordinary split on the command line and in sweeps."""

DEFAULT_DATA_DIR = "./data"
DEFAULT_HOLDOUT = 0.2
MOST_STEPS = 10**6
"""The list of what a run does is made before its first step."""

_MINIMUM = {"steps": 1, "checkpoint_freq": 1, "eval_images": 1, "num_workers": 0, "validation": 0}


class Role(enum.Enum):
    """What an argument is to a run, and to a sweep of many."""

    GRID = "what a sweep varies from run to run"
    RESULT = "what changes the results; a sweep gives it to all of its runs"
    MANNER = "what changes no result, such as the device; a sweep gives it to all of its runs"
    PLACE = "what changes no result and belongs to a single run, such as its folder"


def setting_named(name: str) -> str | None:
    """Return the setting of this name; None, the ordinary split, for "none"."""
    return None if name == NO_IMBALANCE else name


def domain_word(word: str) -> int | str:
    """Return the index of a domain that ``word`` is, or else the word, which may be its name."""
    try:
        return int(word)
    except ValueError:
        return word


def plain_path(name: str) -> str:
    """Return one spelling for all of a path: that of a name is the name.

    >>> plain_path("./faces/"), plain_path("faces")
    ('faces', 'faces')
    """
    return os.path.normpath(name) if name else name


def _argument(role: Role, default: Any, help_text: str = "", **flag: Any) -> Any:
    """Return the field of an argument; ``flag`` is what its parser must know besides."""
    return field(default=default, metadata={"role": role, "help": help_text, **flag})


@dataclasses.dataclass
class TrainArguments:
    """What one run is a pure function of. The names are DomainBed's flags.

    The defaults are DomainBed's too, but for the dataset: the one that needs no download.

    ``imbalance`` is the name of a setting, maybe with parameters (``Cross:middle=0.5``), the path
    of a table, or None for DomainBed's ordinary split; ``validation`` sets that parameter.
    ``steps`` and ``checkpoint_freq`` None mean the dataset's own. ``device`` None means the best
    there is; ``num_workers`` None means as many loader processes as help here. Neither of the two
    changes which images a step sees. ``feature_cache`` is a folder for frozen features (None:
    ``features`` in ``data_dir``), ``log`` one of ``LOGS``; with ``keep_resume`` the resume file
    stays when the run is done; with ``diagnostics`` it also records gradients and prototypes by
    class, for ``diagnose``; ``variants`` are further evaluations of the run, such as "swad" (see
    :mod:`~ndcl_domainbed.variant_names`). ``eval_images``: of each split, None for all.
    """

    data_dir: str = _argument(Role.PLACE, DEFAULT_DATA_DIR, "folder of the datasets", metavar="DIR")
    dataset: str = _argument(
        Role.GRID, "DigitsDG", "a name, or a domain/class/image folder", metavar="NAME"
    )
    algorithm: str = _argument(Role.GRID, "ERM", "for example NDCL", metavar="NAME")
    task: str = _argument(Role.RESULT, TASKS[0], choices=TASKS)
    hparams: str | None = _argument(
        Role.RESULT, None, "hyper-parameters that override the registry's", metavar="JSON"
    )
    hparams_seed: int = _argument(
        Role.GRID, 0, "0: default values; else seed of the draw", metavar="N"
    )
    trial_seed: int = _argument(Role.GRID, 0, "seed of the splits and of the draw", metavar="N")
    seed: int = _argument(Role.GRID, 0, "seed of everything else", metavar="N")
    steps: int | None = _argument(
        Role.RESULT, None, "number of updates (default: the dataset's)", type=int, metavar="N"
    )
    checkpoint_freq: int | None = _argument(
        Role.RESULT, None, "evaluate every N steps", type=int, metavar="N"
    )
    eval_images: int | None = _argument(
        Role.RESULT, None, "to try a command out: evaluate N images of each split, and not at "
        "step 0; the run counts in tables only with collect_results --partial",
        type=int, metavar="N",
    )  # fmt: skip
    test_envs: list[int] = field(
        default_factory=lambda: [0],
        metadata={
            "role": Role.GRID, "type": domain_word, "nargs": "+", "metavar": "DOMAIN",
            "help": "domains to leave out and test on, by index or name (default: 0)",
        },
    )  # fmt: skip
    output_dir: str = _argument(Role.PLACE, "train_output", "folder of the run", metavar="DIR")
    holdout_fraction: float = _argument(
        Role.RESULT, DEFAULT_HOLDOUT, "share held out of the target, and on an ordinary split of "
        "every domain", metavar="SHARE",
    )  # fmt: skip
    uda_holdout_fraction: float = _argument(
        Role.RESULT, 0.0, "share of the test domain to train on without labels", metavar="SHARE"
    )
    unlabeled_fraction: float = _argument(
        Role.RESULT, 0.0, "share of the source images unused by --imbalance to train on without "
        "labels", metavar="SHARE",
    )  # fmt: skip
    skip_model_save: bool = _argument(Role.RESULT, False, "keep no model")
    save_model_every_checkpoint: bool = _argument(
        Role.RESULT, False, "keep the model of every evaluation, not only of the selected and the "
        "last step",
    )  # fmt: skip
    imbalance: str | None = _argument(
        Role.GRID, None, f"a setting such as TotalHeavyTail, or a table file ({NO_IMBALANCE})",
        type=setting_named, metavar="SETTING",
    )  # fmt: skip
    validation: int | None = _argument(
        Role.RESULT, None, "validation images of each class and domain, for a generated setting",
        type=int, metavar="N",
    )  # fmt: skip
    require_every_class: bool = _argument(
        Role.RESULT, False, "refuse a dataset with a domain that lacks a class"
    )
    device: str | None = _argument(
        Role.MANNER, None, "cpu, cuda, cuda:1, mps (default: CUDA where there is one, else the CPU)"
    )
    num_workers: int | None = _argument(
        Role.MANNER, None, "loader processes of a run (default: what the cores can feed)",
        type=int, metavar="N",
    )  # fmt: skip
    no_resume: bool = _argument(Role.PLACE, False, "start over instead of resuming")
    keep_resume: bool = _argument(Role.PLACE, False, "keep the resume file when the run is done")
    precision: str = _argument(
        Role.RESULT, PRECISIONS[0], f"of the networks: {' or '.join(PRECISIONS)}", metavar="NAME"
    )
    compile: bool = _argument(
        Role.RESULT, False, "compile the network, and NDCL's losses, with torch.compile"
    )
    feature_cache: str | None = _argument(
        Role.MANNER, None, "keep frozen features there (default: features in --data_dir)",
        metavar="DIR",
    )  # fmt: skip
    log: str | None = _argument(
        Role.MANNER, None, f"log losses and accuracies as well to: {', '.join(LOGS)}",
        metavar="KIND",
    )  # fmt: skip
    diagnostics: bool = _argument(
        Role.RESULT, False, "record gradients and prototypes by class, for the command diagnose"
    )
    variants: list[str] | None = field(
        default=None,
        metadata={
            "role": Role.RESULT, "nargs": "+", "metavar": "NAME",
            "help": f"evaluate these as well: {', '.join(DEFAULTS)}; with parameters as in "
            "ema:decay=0.99,start=0.2",
        },
    )  # fmt: skip

    def __post_init__(self) -> None:
        self.dataset = plain_path(self.dataset)
        self.imbalance = self.imbalance and plain_path(self.imbalance)

    def check(self) -> None:
        """Raise InputError for a value that no dataset could accept."""
        _check_names(self)
        if self.diagnostics and self.compile:
            raise InputError(
                "--diagnostics and --compile exclude each other: "
                "a compiled network cannot be watched"
            )
        check_variants(self.variants or (), compiled=self.compile)
        for name, least in _MINIMUM.items():
            check_at_least(f"--{name}", getattr(self, name), least)
        if (self.steps or 0) > MOST_STEPS:
            raise InputError(f"--steps must be at most {MOST_STEPS:,}; got {self.steps:,}")
        self._check_shares()
        if self.task == "domain_adaptation" and self.uda_holdout_fraction == 0:
            raise InputError(
                "--task domain_adaptation needs --uda_holdout_fraction: "
                "the share of the test domain to train on without labels"
            )
        for name, default in (("validation", None), ("unlabeled_fraction", 0)):
            if getattr(self, name) != default and not self.imbalance:
                raise InputError(f"--{name} is for an imbalanced split: give --imbalance as well")
        if self.imbalance and self.uda_holdout_fraction:
            raise InputError(
                "--uda_holdout_fraction and --imbalance exclude each other: "
                "an imbalanced split sets no target image aside"
            )
        for name in ("seed", "trial_seed", "hparams_seed"):
            value = getattr(self, name)
            if not -(2**63) <= value < 2**64:  # what torch takes
                raise InputError(f"--{name} must fit into 64 bits; got {value}")
        self.hparam_overrides()

    def _check_shares(self) -> None:
        for name in ("holdout_fraction", "uda_holdout_fraction"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise InputError(f"--{name} must be at least 0 and below 1; got {value}")
        if not 0 <= self.unlabeled_fraction <= 1:
            raise InputError(
                f"--unlabeled_fraction must be from 0 to 1; got {self.unlabeled_fraction}"
            )

    def hparam_overrides(self) -> dict[str, Any]:
        """Return ``--hparams`` as a dict. Raises InputError if it is not a JSON object."""
        return parse_hparams(self.hparams)

    def as_record(self) -> dict[str, Any]:
        """Return the arguments as they stand in every record."""
        return dataclasses.asdict(self)


def read_arguments(recorded: dict[str, Any]) -> TrainArguments:
    """Return the arguments in a record or a saved model; unknown ones are left out."""
    known = argument_names(*Role)
    return TrainArguments(**{name: value for name, value in recorded.items() if name in known})


def argument_names(*roles: Role) -> list[str]:
    """Return the names of the arguments with one of ``roles``.

    >>> argument_names(Role.MANNER)
    ['device', 'num_workers', 'feature_cache', 'log']
    """
    found = dataclasses.fields(TrainArguments)
    return [item.name for item in found if item.metadata["role"] in roles]


def add_flags(group: argparse._ActionsContainer, names: Sequence[str]) -> None:
    """Add the flags of the arguments ``names`` to a parser or a group of one."""
    fields = {item.name: item for item in dataclasses.fields(TrainArguments)}
    for name in names:
        flag = dict(fields[name].metadata)
        del flag["role"]
        default = getattr(TrainArguments(), name)
        if isinstance(default, bool):
            flag["action"] = "store_true"
        elif default is not None and "type" not in flag:
            flag["type"] = type(default)
            flag["help"] = f"{flag['help']} (default: {default})".lstrip()
        aliases = ["--test_env"] if name == "test_envs" else []
        group.add_argument(f"--{name}", *aliases, default=default, **flag)


def parse_hparams(text: str | None) -> dict[str, Any]:
    """Return the hyper-parameters in a JSON text; none for None or an empty text.

    Raises InputError if the text is not a JSON object.

    >>> parse_hparams('{"lr": 0.01}')
    {'lr': 0.01}
    """
    if not text:
        return {}
    try:
        values = json.loads(text, object_pairs_hook=_refuse_repeated_keys)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5,000 digits
        raise InputError(
            f"--hparams is not valid JSON ({error}): {text[:200]}\n"
            """Write it like --hparams '{"lr": 0.001, "batch_size": 32}'"""
        ) from error
    if not isinstance(values, dict):
        raise InputError(f"--hparams takes a JSON object, not a {type(values).__name__}: {text}")
    return values


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict. Raises ValueError if a key occurs twice."""
    twice = find_repeated(key for key, _ in pairs)
    if twice:
        raise ValueError(f"{twice[0]} occurs twice")
    return dict(pairs)


def check_at_least(flag: str, value: int | None, least: int) -> None:
    """Raise InputError if a ``value`` was given for ``flag`` that is below ``least``."""
    if value is not None and value < least:
        raise InputError(f"{flag} must be at least {least}; got {value}")


def _check_names(arguments: TrainArguments) -> None:
    named = (("task", TASKS), ("log", LOGS), ("precision", PRECISIONS))
    for name, known in named:
        value = getattr(arguments, name)
        if value is not None and value not in known:
            raise unknown_name(name, value, known)
