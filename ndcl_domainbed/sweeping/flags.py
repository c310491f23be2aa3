"""The command line of ``sweep``: its flags, their defaults, and the file that may hold them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ndcl_domainbed.errors import InputError, unknown_name
from ndcl_domainbed.own_code import add_flag
from ndcl_domainbed.sweeping.grid import Grid
from ndcl_domainbed.sweeping.launchers import get_launcher, launchers
from ndcl_domainbed.training.arguments import (
    Role,
    add_flags,
    argument_names,
    domain_word,
    parse_hparams,
)

COMMANDS = ("launch", "delete_incomplete", "status", "plan")

BLOCKS = "blocks"
SHARE = 0.25
"""The default of --stop_early, a share of the steps, and of --keep_draws, one of the draws."""
_NOT_IN_A_FILE = ("sweep", "command", "watch", "own_code", "help")
_CHOSEN = ("datasets", "algorithms", "imbalance")
"""Flags that choose among the values of a block."""

Flags = Mapping[str, Any]


class SweepParser(argparse.ArgumentParser):
    """The parser. Only flags that were given are in its result; ``defaults`` has the others.

    ``grid_flags`` say which runs there are; ``launcher_of`` has the launcher of each flag that
    belongs to one. ``place`` is set where the words come from a file: then an error is an
    InputError that names it.
    """

    def __init__(self) -> None:
        super().__init__(
            prog="ndcl-domainbed sweep",
            usage="%(prog)s COMMAND [options]",
            description="Launch the runs of a grid, delete unfinished ones, show how far "
            "they are, or plan what they will cost.",
            allow_abbrev=False,
        )
        self.place = ""
        self.add_argument("command", choices=COMMANDS)
        add_flag(self)
        self.grid_flags = _add_grid_flags(self.add_argument_group("which runs"))
        _add_other_flags(self.add_argument_group("how they run"))
        self.launcher_of: dict[str, str] = {}
        for name, launcher in launchers().items():
            title = (launcher.__doc__ or name).splitlines()[0]
            group = self.add_argument_group(f"launcher {name}", title)
            launcher.add_flags(group)
            self.launcher_of |= dict.fromkeys(_names_in(group), name)
        self.defaults = vars(super().parse_args(["launch"]))
        for action in self._actions:
            action.default = argparse.SUPPRESS

    def error(self, message: str) -> NoReturn:
        """Raise InputError for words of a file; end the command for its own."""
        if self.place:
            raise InputError(f"{self.place}: {message}")
        super().error(message)

    def parse_file(self, values: Mapping[Any, Any], place: str, known: Sequence[str]) -> Flags:
        """Return the ``values`` in a file as the command line would have made them."""
        words = ["launch"]
        plain: dict[str, Any] = {}
        switched_off = {a.dest: False if a.nargs == 0 else None for a in self._actions
                        if a.nargs in (0, "?")}  # fmt: skip
        for name, value in values.items():
            if name not in known:
                raise unknown_name(f"key in {place}", name, known)
            if value is False and name in switched_off:
                plain[name] = switched_off[name]
            else:
                words += [f"--{name}", *_words(name, value, place)]
        self.place = place
        parsed = vars(self.parse_args(words))
        self.place = ""
        return {**parsed, **plain}


def _names_in(group: argparse._ArgumentGroup) -> list[str]:
    return [action.dest for action in group._group_actions]


def _add_grid_flags(group: argparse._ArgumentGroup) -> list[str]:
    """Add the flags that say which runs there are; return their names."""
    add = group.add_argument
    add("--datasets", nargs="+", metavar="NAME", help="default: all but Debug28 and Debug224")
    add("--algorithms", nargs="+", metavar="NAME", help="default: all")
    add("--imbalance", nargs="+", metavar="SETTING",
        help="settings such as TotalHeavyTail, or table files (default: none)")  # fmt: skip
    add("--n_hparams_from", type=int, default=0, metavar="N",
        help="first hyper-parameter seed (default: 0)")  # fmt: skip
    add("--n_hparams", type=int, default=20, metavar="N",
        help="hyper-parameter seeds up to N - 1; 0 means the defaults (default: 20)")  # fmt: skip
    add("--n_trials_from", type=int, default=0, metavar="N", help="first trial seed (default: 0)")
    add("--n_trials", type=int, default=3, metavar="N",
        help="trial seeds up to N - 1 (default: 3)")  # fmt: skip
    add("--data_dir", metavar="DIR", help="folder of the datasets")
    add("--test_envs", nargs="+", type=domain_word, metavar="DOMAIN",
        help="target domains, by index or name: each alone and, without --single_test_envs, "
        "each pair (default: all)")  # fmt: skip
    add("--single_test_envs", action="store_true",
        help="one target domain per run (default: pairs of targets too)")  # fmt: skip
    add_flags(group, argument_names(Role.RESULT))
    names = _names_in(group)
    add("--sweep", metavar="FILE", help="YAML file with values for these flags; flags override it")
    return names


def _add_other_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--output_dir", metavar="DIR", help="folder of the jobs' folders")
    add("--command_launcher", default="local", metavar="NAME",
        help=f"one of {', '.join(launchers())} (default: local)")  # fmt: skip
    add(
        "--jobs",
        type=int,
        metavar="N",
        help="at most N jobs at a time (default: with local "
        "one per core, or one where there is a GPU; else what the launcher allows)",
    )
    add("--retries", type=int, default=1, metavar="N",
        help="how often a job that crashed is started again (default: 1)")  # fmt: skip
    add("--seed", type=int, default=0, metavar="N",
        help="seed of the order in which the jobs start (default: 0)")  # fmt: skip
    add("--stop_early", nargs="?", type=float, const=SHARE, metavar="SHARE",
        help="with launch: after this share of the steps, only the draws that validate best "
        f"resume (default: {SHARE})")  # fmt: skip
    add("--keep_draws", type=float, metavar="N",
        help="how many draws then resume, or a share below 1 "
        f"(default: {SHARE})")  # fmt: skip
    add("--skip_confirmation", action="store_true", help="do not ask")
    add("--watch", action="store_true",
        help="with status: keep showing until nothing is running or queued")  # fmt: skip
    add_flags(group, argument_names(Role.MANNER))


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[Grid]]:
    """Return all options, and the grids that make up the sweep.

    A flag on the command line wins over the file, and a block of the file over the rest of it. Of
    the datasets, algorithms or settings that a block lists, a flag chooses: see :func:`choose`.
    Hyper-parameters are merged one by one.
    Lists of datasets and algorithms that nobody gave stay None. For ``status`` without a flag
    that says which runs there are no grids. Raises InputError for a file that cannot be used.
    """
    parser = SweepParser()
    given = vars(parser.parse_args(argv))
    shared, blocks = read_file(parser, Path(given["sweep"])) if "sweep" in given else ({}, [{}])
    options = argparse.Namespace(**{**parser.defaults, **shared, **given})
    if not options.output_dir:
        raise InputError("--output_dir is missing: the folder that holds the jobs' folders.")
    if options.watch and options.command != "status":
        raise InputError("--watch works only with status.")
    get_launcher(options.command_launcher)
    # A file may hold the flags of a launcher that is not used this time.
    chosen_with = {*given} if "command_launcher" in given else {*shared, *given}
    for name in chosen_with & parser.launcher_of.keys():
        owner, chosen = parser.launcher_of[name], options.command_launcher
        if owner != chosen:
            raise InputError(f"--{name} is for --command_launcher {owner}, not for {chosen}.")
    if options.command == "status" and not given.keys() & {"sweep", *parser.grid_flags}:
        return options, []
    merged: list[Flags] = list(blocks)
    for name in _CHOSEN:
        merged = choose(name, merged, given.get(name))
    return options, [make_grid(parser, _merge(shared, block, given)) for block in merged]


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


def _merge(shared: Flags, block: Flags, given: Flags) -> Flags:
    """Return the flags of a block; those that were ``given`` have already chosen among its values.

    Hyper-parameters are merged one by one, so that a flag or a block need not repeat the others.
    """
    chosen = {name: block[name] for name in _CHOSEN if name in block and name in given}
    given_hparams = [flags["hparams"] for flags in (shared, block, given) if flags.get("hparams")]
    if len(given_hparams) > 1:
        hparams = {k: v for text in given_hparams for k, v in parse_hparams(text).items()}
        chosen["hparams"] = json.dumps(hparams, sort_keys=True)
    return {**shared, **block, **given, **chosen}


def make_grid(parser: SweepParser, given: Flags) -> Grid:
    """Return the grid of the given flags, with the defaults for the others."""
    if given.get("data_dir") is None:
        raise InputError("--data_dir is missing: the folder that holds the datasets.")
    of_runs = set(argument_names(Role.RESULT))
    own = {name: parser.defaults[name] for name in parser.grid_flags if name not in of_runs}
    run_args = {name: given[name] for name in of_runs & given.keys() if given[name] is not False}
    return Grid(**{name: given.get(name, default) for name, default in own.items()},
                run_args=run_args)  # fmt: skip


def free_args(options: argparse.Namespace) -> dict[str, Any]:
    """Return the flags that change no result, as far as they were given."""
    values = {name: getattr(options, name) for name in argument_names(Role.MANNER)}
    return {name: value for name, value in values.items() if value is not None}


def read_file(parser: SweepParser, path: Path) -> tuple[Flags, list[Flags]]:
    """Return the flags that a YAML file gives to all its blocks, and those of each block.

    The keys are the names of the flags; ``blocks``, if it is there, is a list of mappings of the
    flags that say which runs. Raises InputError for anything else, and for a file without a key,
    which would mean every default.
    """
    from yaml import YAMLError

    from ndcl_domainbed.sweeping.sweep_file import load_yaml

    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read --sweep {path}: {error.strerror}") from error
    except (YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--sweep {path} is not valid YAML: {reason}") from error
    if not isinstance(content, dict) or not content:
        is_empty = " is empty" if not content else ""
        raise InputError(f"--sweep {path}{is_empty}: it must hold names of flags and their values.")
    blocks = content.pop(BLOCKS, [{}])
    if not (isinstance(blocks, list) and blocks and all(isinstance(b, dict) for b in blocks)):
        raise InputError(f"--sweep {path}: {BLOCKS} must be a list of groups of flags.")
    known = [action.dest for action in parser._actions if action.dest not in _NOT_IN_A_FILE]
    return (
        parser.parse_file(content, str(path), [*known, BLOCKS]),
        [
            parser.parse_file(block, f"{path}, block {number}", parser.grid_flags)
            for number, block in enumerate(blocks, start=1)
        ],
    )


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
