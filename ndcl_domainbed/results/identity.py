"""What a run is in the tables, by its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from imbalance_splits.settings import setting_names
from ndcl_domainbed.results.labels import Pair, dataset_label, pairs_text, row_label
from ndcl_domainbed.results.names import ENVIRONMENTS, NO_SETTING, SETTINGS
from ndcl_domainbed.results.overrides import read_overrides


class Identity(NamedTuple):
    """The arguments of a run that tables sort by; ``test_env`` is -1 if there are several.

    ``dataset`` is a label, which names the network where it was overridden; ``overrides`` are the
    other hyper-parameters of ``--hparams``.
    """

    dataset: str
    setting: str
    algorithm: str
    test_envs: str
    test_env: int
    trial_seed: int
    hparams_seed: int
    overrides: tuple[Pair, ...] = ()


class RowName(NamedTuple):
    """The name of a run's row, and the overrides that every run of its board has, as text."""

    name: str
    fixed: str


def identity(args: dict[str, Any]) -> Identity:
    """Return what the run with these arguments is.

    A dataset named like ``PACS_Cross``, as DomainBed's own scripts know an imbalanced one, is
    the dataset under that setting.
    """
    test_envs = args["test_envs"]
    dataset, setting = args["dataset"].rstrip("/"), setting_name(args.get("imbalance"))
    base, _, end = dataset.rpartition("_")
    if base and setting == NO_SETTING and _is_setting(base, end):
        dataset, setting = base, end
    hparams = args.get("hparams")
    network, overrides = read_overrides(dataset, hparams if isinstance(hparams, str) else None)
    return Identity(
        dataset_label(dataset, network),
        setting,
        args["algorithm"],
        " ".join(map(str, test_envs)),
        test_envs[0] if len(test_envs) == 1 else -1,
        args.get("trial_seed", 0),
        args.get("hparams_seed", 0),
        overrides,
    )


def name_rows(runs: Sequence[Identity]) -> list[RowName]:
    """Return the rows of ``runs``, which are all there are: algorithms with their overrides.

    An override that every run of a (dataset, setting) has is not in the names of its rows.
    """
    shared: dict[tuple[str, str], set[Pair]] = {}
    for dataset, setting, overrides in {(run.dataset, run.setting, run.overrides) for run in runs}:
        here = shared.setdefault((dataset, setting), set(overrides))
        here.intersection_update(overrides)
    names: dict[tuple[object, ...], RowName] = {}
    for run in runs:
        key = (run.dataset, run.setting, run.algorithm, run.overrides)
        if key not in names:
            fixed = shared[run.dataset, run.setting]
            own = [pair for pair in run.overrides if pair not in fixed]
            names[key] = RowName(row_label(run.algorithm, own), pairs_text(sorted(fixed)))
    return [names[run.dataset, run.setting, run.algorithm, run.overrides] for run in runs]


@cache
def _is_setting(dataset: str, name: str) -> bool:
    """Whether ``name`` is a setting; one that is not listed is only looked up for a known dataset.

    Looking imports all settings, and SciPy with them.
    """
    return name in SETTINGS or (dataset in ENVIRONMENTS and name in setting_names())


def is_whole(args: Any) -> bool:
    """Whether ``args``, read from a file, say all that :func:`identity` needs."""
    return (
        isinstance(args, dict)
        and isinstance(args.get("dataset"), str)
        and isinstance(args.get("algorithm"), str)
        and isinstance(args.get("test_envs"), list)
        and all(type(env) is int and env >= 0 for env in args["test_envs"])
        and all(type(args.get(seed, 0)) is int for seed in ("trial_seed", "hparams_seed"))
    )


def setting_name(imbalance: object) -> str:
    """Return the name of a setting in tables; of a table given as a file, the file's name.

    >>> setting_name(None), setting_name("Cross"), setting_name("my/tables/mild.json")
    ('none', 'Cross', 'mild')
    """
    if not imbalance:
        return NO_SETTING
    text = str(imbalance)
    return Path(text).stem if text.endswith((".json", ".csv")) else text
