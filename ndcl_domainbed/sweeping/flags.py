"""The command line of ``sweep``: its flags, their defaults, and the file that may hold them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ndcl_domainbed.errors import InputError, unknown_name
from ndcl_domainbed.own_code import add_flag
from ndcl_domainbed.sweeping.grid import Grid
from ndcl_domainbed.sweeping.launchers import launchers
from ndcl_domainbed.training.arguments import (
    DEFAULT_HOLDOUT,
    LOGS,
    PRECISIONS,
    TASKS,
    parse_hparams,
)

COMMANDS = ("launch", "delete_incomplete", "status", "plan")

DEFAULTS: Mapping[str, Any] = {
    "datasets": None,
    "algorithms": None,
    "imbalance": None,
    "task": TASKS[0],
    "n_hparams_from": 0,
    "n_hparams": 20,
    "n_trials": 3,
    "output_dir": None,
    "data_dir": None,
    "seed": 0,
    "command_launcher": "local",
    "steps": None,
    "hparams": None,
    "holdout_fraction": DEFAULT_HOLDOUT,
    "uda_holdout_fraction": None,
    "precision": None,
    "compile": False,
    "diagnostics": False,
    "single_test_envs": False,
    "checkpoint_freq": None,
    "skip_model_save": False,
    "skip_confirmation": False,
    "jobs": None,
    "retries": 1,
    "sweep": None,
    "watch": False,
    "device": None,
    "num_workers": None,
    "feature_cache": None,
    "log": None,
}

FREE_FLAGS = ("device", "num_workers", "feature_cache", "log")
"""Flags of a run that do not change its results, and so not the folder of the job."""

GRID_FLAGS = frozenset(field.name for field in fields(Grid))
_NOT_IN_A_FILE = frozenset({"sweep", "command", "watch", "own_code"})
BLOCKS = "blocks"
_CHOSEN = ("datasets", "algorithms", "imbalance")
"""Flags that choose among the values of a block."""

Flags = Mapping[str, Any]


class FileParser(argparse.ArgumentParser):
    """A parser of what does not come from the command line: its errors name the place."""

    place = ""

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(f"{self.place}: {message}")


AnyParser = TypeVar("AnyParser", bound=argparse.ArgumentParser)


def build_parser(cls: type[AnyParser]) -> AnyParser:
    """Return the parser. Only flags that were given are in its result."""
    parser = cls(
        prog="ndcl-domainbed sweep",
        usage="%(prog)s COMMAND [options]",
        description="Launch the runs of a grid, clear those that did not finish, show how far "
        "they are, or plan what they will cost.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=COMMANDS)
    add_flag(parser)
    _add_grid_flags(parser.add_argument_group("which runs"))
    group = parser.add_argument_group("how they run")
    add = group.add_argument
    add("--output_dir", help="folder of the jobs' folders")
    add("--command_launcher", metavar="NAME",
        help=f"one of {', '.join(launchers())} (default: local)")  # fmt: skip
    add("--jobs", type=int, metavar="N", help="jobs at a time (default: the number of cores)")
    add("--retries", type=int, metavar="N",
        help="how often a job that broke down is started again (default: 1)")  # fmt: skip
    add("--seed", type=int, help="seed of the order in which the jobs start (default: 0)")
    add("--skip_confirmation", action="store_true", help="do not ask")
    add("--device", help="of all jobs, such as cpu or cuda")
    add("--num_workers", type=int, metavar="N", help="loader processes of a job")
    add("--feature_cache", metavar="DIR",
        help="keep frozen features there (default: features in --data_dir)")  # fmt: skip
    add("--log", metavar="KIND", help=f"log as well to: {', '.join(LOGS)}")
    add("--watch", action="store_true",
        help="with status: keep showing until nothing runs or waits in a queue")  # fmt: skip
    for name, launcher in launchers().items():
        title = (launcher.__doc__ or name).splitlines()[0]
        launcher.add_flags(parser.add_argument_group(f"launcher {name}", title))
    return parser


def _add_grid_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--sweep", metavar="FILE", help="YAML file with values for these flags; flags override it")
    add("--datasets", nargs="+", metavar="NAME", help="default: all but Debug28 and Debug224")
    add("--algorithms", nargs="+", metavar="NAME", help="default: all")
    add("--imbalance", nargs="+", metavar="SETTING",
        help="settings such as TotalHeavyTail, or table files (default: none)")  # fmt: skip
    add("--task", choices=TASKS)
    add("--n_hparams_from", type=int, metavar="N", help="first seed of the hparams (default: 0)")
    add("--n_hparams", type=int, metavar="N",
        help="seeds of the hparams end before this; 0 is the defaults (default: 20)")  # fmt: skip
    add("--n_trials", type=int, metavar="N", help="number of split seeds (default: 3)")
    add("--data_dir", help="folder of the datasets")
    add("--steps", type=int, metavar="N", help="updates a run (default: the dataset's)")
    add("--hparams", metavar="JSON", help="hyper-parameters that override the registry's")
    add("--holdout_fraction", type=float, metavar="SHARE", help="default: 0.2")
    add("--uda_holdout_fraction", type=float, metavar="SHARE",
        help="share of the test domain to train on without labels")  # fmt: skip
    add("--single_test_envs", action="store_true",
        help="leave out single domains only (default: pairs too)")  # fmt: skip
    add("--checkpoint_freq", type=int, metavar="N", help="evaluate every N steps")
    add("--precision", metavar="NAME", help=f"of the networks: {' or '.join(PRECISIONS)}")
    add("--compile", action="store_true", help="compile the networks, and NDCL's losses")
    add("--skip_model_save", action="store_true")
    add("--diagnostics", action="store_true", help="record gradients and prototypes by class")


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[Grid]]:
    """Return all options, and the grids that make up the sweep.

    A flag on the command line wins over the file, and a block of the file over the rest of it. Of
    the datasets, algorithms or settings that a block lists, a flag chooses: see :func:`choose`.
    Hyper-parameters are merged one by one.
    Lists of datasets and algorithms that nobody gave stay None. For ``status`` without a flag
    that says which runs there are no grids. Raises InputError for a file that cannot be used.
    """
    given = vars(build_parser(argparse.ArgumentParser).parse_args(argv))
    shared, blocks = read_file(Path(given["sweep"])) if "sweep" in given else ({}, [{}])
    options = argparse.Namespace(**{**DEFAULTS, **shared, **given})
    if not options.output_dir:
        raise InputError("--output_dir is missing: the folder that holds the jobs' folders.")
    if options.watch and options.command != "status":
        raise InputError("--watch goes with status alone.")
    check_launcher_flags(options.command_launcher, {*shared, *given})
    if options.command == "status" and not {"sweep", *GRID_FLAGS}.intersection(given):
        return options, []
    chosen: list[Flags] = list(blocks)
    for name in _CHOSEN:
        chosen = choose(name, chosen, given.get(name))
    return options, [make_grid(_merge(shared, block, given)) for block in chosen]


def choose(name: str, blocks: Sequence[Flags], wanted: Sequence[str] | None) -> list[Flags]:
    """Return the blocks, each with those of its own values of ``name`` that are ``wanted``.

    A block that has none of them is left out; one without values of its own takes all that are
    wanted. Where every block has values of its own, those that the file does not list replace them;
    InputError if it lists some of them and not others.

    >>> choose("datasets", [{"datasets": ["A", "B"]}, {"datasets": ["C"]}, {}], ["A"])
    [{'datasets': ['A']}, {}]
    """
    if not wanted:
        return [dict(block) for block in blocks]
    listed = {value for block in blocks for value in block.get(name, ())}
    unknown = [value for value in wanted if value not in listed]
    all_listed = all(name in block for block in blocks)
    if all_listed and len(unknown) == len(wanted):
        return [{k: v for k, v in block.items() if k != name} for block in blocks]
    if all_listed and unknown:
        raise InputError(
            f"--{name} {' '.join(unknown)}: no block of the --sweep file lists it; "
            f"the blocks list {', '.join(sorted(listed))}."
        )
    chosen = [
        {**block, name: [value for value in block[name] if value in wanted]}
        if name in block
        else dict(block)
        for block in blocks
    ]
    return [block for block in chosen if block.get(name, wanted)]


def _merge(shared: Flags, block: Flags, given: Flags) -> dict[str, Any]:
    """Return the flags of a block; those that were ``given`` have already chosen among its values.

    Hyper-parameters are merged one by one, so that a flag or a block need not repeat the others.
    """
    chosen = {name: block[name] for name in _CHOSEN if name in block and name in given}
    texts = [flags["hparams"] for flags in (shared, block, given) if flags.get("hparams")]
    if len(texts) > 1:
        hparams = {k: v for text in texts for k, v in parse_hparams(text).items()}
        chosen["hparams"] = json.dumps(hparams, sort_keys=True)
    return {**shared, **block, **given, **chosen}


def free_args(options: argparse.Namespace) -> dict[str, Any]:
    """Return those of ``FREE_FLAGS`` that were given."""
    values = {name: getattr(options, name) for name in FREE_FLAGS}
    return {name: value for name, value in values.items() if value is not None}


def make_grid(given: Mapping[str, Any]) -> Grid:
    """Return the grid of the given flags, with the defaults for the others."""
    values = {**DEFAULTS, **given}
    if values["data_dir"] is None:
        raise InputError("--data_dir is missing: the folder that holds the datasets.")
    return Grid(**{name: values[name] for name in GRID_FLAGS})


def check_launcher_flags(chosen: str, given: set[str]) -> None:
    """Raise InputError for a flag of another launcher, which would be ignored."""
    for name, launcher in launchers().items():
        if name == chosen:
            continue
        group = argparse.ArgumentParser(add_help=False).add_argument_group()
        launcher.add_flags(group)
        for action in group._group_actions:
            if action.dest in given:
                raise InputError(
                    f"--{action.dest} is for --command_launcher {name}, not for {chosen}."
                )


def read_file(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the flags that a YAML file gives to all its blocks, and those of each block.

    The keys are the names of the flags; ``blocks``, if it is there, is a list of mappings of the
    flags that say which runs. Raises InputError for anything else, and for a file without a key,
    which would mean every default.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read --sweep {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # such as a date that does not exist
        reason = " ".join(str(error).split())
        raise InputError(f"--sweep {path} is not valid YAML: {reason}") from error
    if not isinstance(content, dict) or not content:
        is_empty = " is empty" if not content else ""
        raise InputError(f"--sweep {path}{is_empty}: it must hold names of flags and their values.")
    blocks = content.pop(BLOCKS, [{}])
    if not (isinstance(blocks, list) and blocks and all(isinstance(b, dict) for b in blocks)):
        raise InputError(f"--sweep {path}: {BLOCKS} must be a list of groups of flags.")
    known = [name for name in _flag_names() if name not in _NOT_IN_A_FILE]
    in_blocks = [name for name in known if name in GRID_FLAGS]
    return (
        _converted(content, str(path), [*known, BLOCKS]),
        [_converted(block, f"{path}, block {i + 1}", in_blocks) for i, block in enumerate(blocks)],
    )


def _flag_names() -> list[str]:
    return [
        action.dest
        for action in build_parser(argparse.ArgumentParser)._actions
        if action.dest != "help"
    ]


def _converted(values: Mapping[Any, Any], place: str, known: Sequence[str]) -> dict[str, Any]:
    """Return a file's values as the command line would have made them."""
    words = ["launch"]
    plain: dict[str, Any] = {}
    parser = build_parser(FileParser)
    parser.place = place
    switches = {action.dest for action in parser._actions if action.nargs == 0}
    for name, value in values.items():
        if name not in known:
            raise unknown_name(f"key in {place}", name, known)
        if value is False and name in switches:
            plain[name] = False
        else:
            words += [f"--{name}", *_words(name, value, place)]
    parsed = vars(parser.parse_args(words))
    del parsed["command"]
    return parsed | plain


def _words(name: str, value: Any, place: str) -> list[str]:
    if value is True:
        return []
    if value is None:
        raise InputError(f"{place}: {name} has no value.")
    if isinstance(value, dict):
        try:
            return [json.dumps(value, sort_keys=True)]
        except TypeError:
            raise InputError(f"{place}: {name} must hold names and plain values.") from None
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
