"""The console command ``ndcl-domainbed``: every script as a sub-command."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from imbalance_splits.errors import InputError, unknown_name
from ndcl_domainbed.errors import RunFailure
from ndcl_domainbed.own_code import add_flag, take_flag
from ndcl_domainbed.version import __version__

COMMANDS = {
    "train": "train one algorithm on one dataset",
    "sweep": "launch many runs, watch, plan or clear them",
    "collect_results": "turn runs into leaderboards",
    "list_top_hparams": "list the hyper-parameters that model selection chose",
    "predict": "predict the classes of images with the model of a run",
    "diagnose": "look at why a method works, on your own runs",
    "export_results": "write the selected steps of all runs to one table",
    "splits": "list, show, make, plot and verify imbalanced splits",
    "download": "download a published dataset and check it",
    "features": "compute the features that a frozen network makes of a dataset",
    "export_dataset": "write a built-in dataset as image folders",
}

Main = Callable[[list[str] | None], int]
"""The main() of every script: takes the arguments, returns the exit status, raises InputError."""


def new_parser(command: str, description: str | None, **options: Any) -> argparse.ArgumentParser:
    """Return the parser of a sub-command, with the flag ``--own_code``."""
    parser = argparse.ArgumentParser(
        prog=f"ndcl-domainbed {command}", description=description, allow_abbrev=False, **options
    )
    add_flag(parser)
    return parser


def run(main: Main, argv: list[str] | None = None) -> NoReturn:
    """Call ``main`` and leave with its exit status; report errors without a traceback.

    The flag ``--own_code`` is removed from the arguments first.
    Bad input ends with status 2, a run that failed with status 1, an interrupt with 130.
    """
    try:
        if sys.platform == "win32":
            raise InputError("Windows is not supported: use Linux, macOS, or WSL on Windows.")
        status = main(take_flag(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except (InputError, RunFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader (head, less) has gone: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except PermissionError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror}.", file=sys.stderr)
        status = 2
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        print(
            f"error: {error.strerror}: the system allows this process no more file descriptors.\n"
            "Raise the limit (`ulimit -n 4096`), or use fewer --jobs or --num_workers.",
            file=sys.stderr,
        )
        status = 1
    sys.exit(status)


def _usage() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ndcl-domainbed COMMAND [options]",
            "",
            "Imbalanced domain generalization: NDCL, baselines, splits and leaderboards.",
            "",
            "commands:",
            *lines,
            "",
            "`ndcl-domainbed COMMAND --help` describes a command. With --own_code FILE.py it knows",
            "the algorithms, settings, datasets, launchers and diagnostics in a file of yours.",
        ]
    )


def dispatch(argv: list[str] | None = None) -> int:
    """Run the sub-command that ``argv`` names and return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if arguments[0] == "--version":
        print(__version__)
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    module = importlib.import_module(f"ndcl_domainbed.scripts.{name}")
    return int(module.main(rest))


def main() -> NoReturn:
    """Entry point of the console command."""
    run(dispatch)
