"""The arguments of one run: DomainBed's, plus this project's."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from imbalance_splits.errors import InputError, unknown_name

TASKS = ("domain_generalization", "domain_adaptation")
PRECISIONS = ("fp32", "bf16")
LOGS = ("tensorboard", "wandb")
NO_IMBALANCE = "none"
"""What stands for DomainBed's ordinary split on the command line and in sweeps."""

DEFAULT_DATA_DIR = "./data"
DEFAULT_HOLDOUT = 0.2


@dataclass
class TrainArguments:
    """What one run is a pure function of. The names are DomainBed's flags.

    The defaults are DomainBed's too, but for the dataset: the one that needs no download.

    ``imbalance`` is the name of a setting, the path of a table, or None for DomainBed's ordinary
    split. ``steps`` and ``checkpoint_freq`` None mean the dataset's own. ``device`` None means
    the best there is; ``num_workers`` None means as many loader processes as help here. Neither
    of the two changes which images a step sees. ``feature_cache`` is a folder for frozen
    features (None: ``features`` in ``data_dir``), ``log`` one of
    ``LOGS``; with ``keep_resume`` the resume file stays when the run is done; with
    ``diagnostics`` it also records gradients and prototypes by class, for ``diagnose``.
    ``eval_images`` limits evaluation to as many images of each split, for a trial that is in no
    table; None means all.
    """

    data_dir: str = DEFAULT_DATA_DIR
    dataset: str = "DigitsDG"
    algorithm: str = "ERM"
    task: str = "domain_generalization"
    hparams: str | None = None
    hparams_seed: int = 0
    trial_seed: int = 0
    seed: int = 0
    steps: int | None = None
    checkpoint_freq: int | None = None
    test_envs: list[int] = field(default_factory=lambda: [0])
    output_dir: str = "train_output"
    holdout_fraction: float = DEFAULT_HOLDOUT
    uda_holdout_fraction: float = 0.0
    skip_model_save: bool = False
    save_model_every_checkpoint: bool = False
    imbalance: str | None = None
    device: str | None = None
    num_workers: int | None = None
    no_resume: bool = False
    keep_resume: bool = False
    precision: str = PRECISIONS[0]
    compile: bool = False
    feature_cache: str | None = None
    log: str | None = None
    diagnostics: bool = False
    eval_images: int | None = None

    def check(self) -> None:
        """Raise InputError for a value that no dataset could accept."""
        if self.task not in TASKS:
            raise unknown_name("task", self.task, TASKS)
        if self.log is not None and self.log not in LOGS:
            raise unknown_name("log", self.log, LOGS)
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        if self.diagnostics and self.compile:
            raise InputError(
                "--diagnostics and --compile exclude each other: "
                "a compiled network cannot be watched"
            )
        _at_least("--steps", self.steps, 1)
        _at_least("--checkpoint_freq", self.checkpoint_freq, 1)
        _at_least("--num_workers", self.num_workers, 0)
        _at_least("--eval_images", self.eval_images, 1)
        for name in ("holdout_fraction", "uda_holdout_fraction"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise InputError(f"--{name} is a share, 0 <= share < 1; it was given {value}")
        if self.task == "domain_adaptation" and self.uda_holdout_fraction == 0:
            raise InputError(
                "--task domain_adaptation needs --uda_holdout_fraction: "
                "the share of the test domain to train on without labels"
            )
        if self.imbalance and self.uda_holdout_fraction:
            raise InputError(
                "--uda_holdout_fraction and --imbalance exclude each other: "
                "an imbalanced split has no unlabelled part"
            )
        for name in ("seed", "trial_seed", "hparams_seed"):
            _check_seed(f"--{name}", getattr(self, name))
        self.hparam_overrides()

    def hparam_overrides(self) -> dict[str, Any]:
        """Return ``--hparams`` as a dict. Raises InputError if it is not a JSON object."""
        return parse_hparams(self.hparams)

    @classmethod
    def of_record(cls, args: dict[str, Any]) -> TrainArguments:
        """Return the arguments in a record or a saved model; unknown ones are left out."""
        known = {item.name for item in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in args.items() if name in known})

    def as_record(self) -> dict[str, Any]:
        """Return the arguments as they stand in every record."""
        return dataclasses.asdict(self)


def setting_named(name: str) -> str | None:
    """Return the setting of this name; None, the ordinary split, for "none"."""
    return None if name == NO_IMBALANCE else name


def parse_hparams(text: str | None, flag: str = "--hparams") -> dict[str, Any]:
    """Return the hyper-parameters in a JSON text; none for None or an empty text.

    Raises InputError, which names the ``flag``, if the text is not a JSON object.

    >>> parse_hparams('{"lr": 0.01}')
    {'lr': 0.01}
    """
    if not text:
        return {}
    try:
        values = json.loads(text)
    except ValueError as error:  # not JSON, or a number of thousands of digits
        raise InputError(
            f"{flag} is not valid JSON ({error}): {text[:200]}\n"
            f"""Write it like {flag} '{{"lr": 0.001, "batch_size": 32}}'"""
        ) from error
    if not isinstance(values, dict):
        raise InputError(f"{flag} takes a JSON object, not a {type(values).__name__}: {text}")
    return values


def _at_least(flag: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise InputError(f"{flag} must be at least {least}; it was given {value}")


def _check_seed(flag: str, value: int) -> None:
    if not -(2**63) <= value < 2**64:  # what torch takes
        raise InputError(f"{flag} must fit into 64 bits; it was given {value}")
