"""What a run is in the tables, by its arguments."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from imbalance_splits.settings import setting_names
from imbalance_splits.settings.from_file import FILE_SUFFIXES
from ndcl_domainbed.results.labels import (
    SINGLE_SOURCE,
    Pair,
    dataset_label,
    pairs_text,
    row_label,
    variant_label,
)
from ndcl_domainbed.results.names import ENVIRONMENTS, NO_SETTING, SETTINGS
from ndcl_domainbed.results.overrides import read_overrides


class Identity(NamedTuple):
    """The arguments of a run that tables sort by; ``test_env`` is -1 if there are several.

    ``setting`` is the path of a table where one was given; ``network`` is what was overridden of
    the network, ``overrides`` are the other hyper-parameters of ``--hparams``. ``eval_images``:
    the limit of images that each split is evaluated on; 0 for none. ``variant``: which of the
    run's evaluations it is; empty for its own.
    """

    dataset: str
    network: str
    setting: str
    algorithm: str
    test_envs: str
    test_env: int
    trial_seed: int
    hparams_seed: int
    overrides: tuple[Pair, ...] = ()
    eval_images: int = 0
    variant: str = ""


class RowName(NamedTuple):
    """The names of a run in tables, and the overrides that every run of its board has, as text."""

    dataset: str
    setting: str
    algorithm: str
    fixed: str


def identity(args: dict[str, Any]) -> Identity:
    """Return what the run with these arguments is.

    A dataset named like ``PACS_Cross``, as DomainBed's own scripts know an imbalanced one, is
    the dataset under that setting. Spellings of one path are one dataset. The records of the
    published implementation of NDCL name the setting ``type``.
    """
    test_envs = args["test_envs"]
    dataset = posixpath.normpath(args["dataset"])
    setting = args.get("imbalance") or args.get("type") or NO_SETTING
    if str(setting).endswith(FILE_SUFFIXES):
        setting = posixpath.normpath(setting)
    if is_attached(args):
        dataset, _, setting = dataset.rpartition("_")
    hparams = args.get("hparams")
    network, overrides = read_overrides(dataset, hparams if isinstance(hparams, str) else None)
    if share := args.get("unlabeled_fraction"):  # shown like a hyper-parameter: it is a method's
        overrides = (*overrides, ("unlabeled_fraction", f"{share:g}"))
    return Identity(
        dataset,
        network,
        str(setting),
        args["algorithm"],
        " ".join(map(str, test_envs)),
        test_envs[0] if len(test_envs) == 1 else -1,
        args.get("trial_seed", 0),
        args.get("hparams_seed", 0),
        overrides,
        args.get("eval_images") or 0,
    )


def is_attached(args: dict[str, Any]) -> bool:
    """Whether DomainBed's own scripts made a run with these arguments, on an imbalanced dataset.

    Their arguments have no ``imbalance``; those of this package's runs always have, perhaps None.

    >>> is_attached({"dataset": "PACS_Cross"}), is_attached({"dataset": "PACS"})
    (True, False)
    """
    base, _, end = posixpath.normpath(args["dataset"]).rpartition("_")
    return bool(base) and "imbalance" not in args and _is_setting(base, end)


@cache
def _is_setting(dataset: str, name: str) -> bool:
    """Whether ``name`` is a setting; others than ours only of known datasets: SciPy is slow."""
    return name in SETTINGS or (dataset in ENVIRONMENTS and name in setting_names())


def mark_single_source(runs: Sequence[Identity], n_envs: Sequence[int]) -> list[Identity]:
    """Return ``runs`` with those that train on one of several domains named by it.

    Their ``test_env`` is the source, and ``network`` ends in "single source". ``n_envs``: how many
    domains each has, 0 if unknown. With three domains two test domains are also a pair of
    leave-one-domain-out selection: it counts as that if there are runs with one test domain.
    """
    has_singles = {(run.dataset, run.network, run.setting) for run in runs if run.test_env >= 0}
    counts: dict[str, int] = {}
    for run, count in zip(runs, n_envs, strict=True):
        counts[run.dataset] = max(count, counts.get(run.dataset, 0))
    marked = []
    for run in runs:
        n = counts[run.dataset] or len(ENVIRONMENTS.get(run.dataset, ()))
        sources = set(range(n)).difference(map(int, run.test_envs.split()))
        is_pair = n == 3 and (run.dataset, run.network, run.setting) in has_singles
        if len(sources) == 1 and n > 2 and not is_pair:
            network = ", ".join(filter(None, (run.network, SINGLE_SOURCE)))
            run = run._replace(network=network, test_env=sources.pop())
        marked.append(run)
    return marked


def merge_equal_tables(runs: Sequence[Identity], contents: Sequence[str]) -> list[Identity]:
    """Return ``runs`` with one path for tables of one content.

    ``contents``: training counts and thresholds of each run's split as text, or nothing. Tables
    are equal if they split a dataset and its test domains alike, and never differently.
    """
    known: dict[str, dict[tuple[str, str], str]] = {}
    for run, content in zip(runs, contents, strict=True):
        if content and run.setting.endswith(FILE_SUFFIXES):
            known.setdefault(run.setting, {})[run.dataset, run.test_envs] = content
    first: dict[str, str] = {}
    for path, splits in sorted(known.items()):
        for other in first.values():
            both = splits.keys() & known[other].keys()
            if both and all(splits[key] == known[other][key] for key in both):
                first[path] = other
                break
        else:
            first[path] = path
    return [run._replace(setting=first.get(run.setting, run.setting)) for run in runs]


def name_rows(runs: Sequence[Identity]) -> list[RowName]:
    """Return the names of ``runs``, which are all there are.

    Overrides that all runs of a (dataset, network, setting) share are not in the names of rows. A
    path is shown by as much of its end as tells it from the others.
    """
    datasets = short_names(run.dataset for run in runs)
    settings = short_names(run.setting for run in runs)
    shared: dict[tuple[str, str, str], set[Pair]] = {}
    for run in runs:
        here = shared.setdefault((run.dataset, run.network, run.setting), set(run.overrides))
        here.intersection_update(run.overrides)
    rows = []
    for run in runs:
        fixed = shared[run.dataset, run.network, run.setting]
        own = [pair for pair in run.overrides if pair not in fixed]
        dataset = dataset_label(datasets[run.dataset], run.network)
        row = row_label(run.algorithm, own) + variant_label(run.variant)
        rows.append(RowName(dataset, settings[run.setting], row, pairs_text(sorted(fixed))))
    return rows


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return names for some names, absolute paths and tables: what tells the paths apart.

    >>> short_names(["Cross", "tables/mild.json"])
    {'Cross': 'Cross', 'tables/mild.json': 'mild'}
    >>> list(short_names(["a/mild.json", "b/mild.json", "/data/faces", "my/faces"]).values())
    ['a/mild', 'b/mild', 'data/faces', 'my/faces']
    """
    parts = {}
    for name in dict.fromkeys(names):
        path = PurePosixPath(name)
        path = path.with_suffix("") if name.endswith(FILE_SUFFIXES) else path
        parts[name] = [part for part in path.parts if part != "/"]
    short = {}
    for name, mine in parts.items():
        others = [ends for other, ends in parts.items() if other != name]
        ends = (n for n in range(1, len(mine) + 1) if all(one[-n:] != mine[-n:] for one in others))
        is_path = name.startswith("/") or name.endswith(FILE_SUFFIXES)
        end = next(ends, None) if is_path else None
        short[name] = "/".join(mine[-end:]) if end else name.lstrip("/")
    return short


def is_whole(args: Any) -> bool:
    """Whether ``args``, read from a file, say all that :func:`identity` needs."""
    return (
        isinstance(args, dict)
        and isinstance(args.get("dataset"), str)
        and isinstance(args.get("algorithm"), str)
        and isinstance(args.get("test_envs"), list)
        and all(type(env) is int and env >= 0 for env in args["test_envs"])
        and all(type(args.get(seed, 0)) is int for seed in ("trial_seed", "hparams_seed"))
        and isinstance(args.get("unlabeled_fraction") or 0, int | float)
        and isinstance(args.get("eval_images") or 0, int)
    )
