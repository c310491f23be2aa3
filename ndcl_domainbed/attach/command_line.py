"""The command line: check the names it holds, register, and run the script as it is."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import pkgutil
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.settings import setting_names
from ndcl_domainbed.attach import register
from ndcl_domainbed.run_folder import RECORDS_FILE

USAGE = """\
usage: python -m ndcl_domainbed.attach SCRIPT [its flags]

Run a script of a DomainBed checkout, unmodified, with NDCL, the other algorithms and the
imbalanced datasets of this project registered. SCRIPT is a module of the checkout:

  domainbed.scripts.train             train --algorithm NDCL --dataset PACS_TotalHeavyTail, …
  domainbed.scripts.sweep             launch many runs, all of them attached
  domainbed.scripts.collect_results   print DomainBed's tables
  domainbed.scripts.list_top_hparams  list the hyper-parameters that model selection chose

The checkout is the one in the working directory, or the folder that DOMAINBED_HOME names.
SCRIPT --help lists the script's own flags."""

NAMING = ("train", "train_autolr", "sweep")
"""DomainBed's scripts that run algorithms on datasets, by their names."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script that ``argv`` names; return 0, or leave as the script does.

    Raises InputError for a missing checkout, and for a script, an algorithm or a dataset that
    does not exist.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    script, *flags = arguments
    register()
    _check_script(script)
    _check_names(script.removeprefix("domainbed.scripts."), flags)
    sys.argv = [script, *flags]
    runpy.run_module(script, run_name="__main__", alter_sys=True)
    return 0


def _check_script(name: str) -> None:
    """Raise InputError unless there is a module called ``name``."""
    found = None
    with contextlib.suppress(ModuleNotFoundError, ValueError):
        found = importlib.util.find_spec(name)
    if found is None:
        scripts = importlib.import_module("domainbed.scripts").__path__
        known = [module.name for module in pkgutil.iter_modules(scripts, "domainbed.scripts.")]
        raise unknown_name("script", name, known)


def _check_names(script: str, flags: Sequence[str]) -> None:
    """Register the image folders that the flags name; InputError for any other unknown name."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, prog=script)
    parser.add_argument("--dataset", "--datasets", nargs="+", default=[])
    parser.add_argument("--algorithm", "--algorithms", nargs="+", default=[])
    parser.add_argument("--data_dir", default=".")
    parser.add_argument("--input_dir", type=Path)
    given = parser.parse_known_args(flags)[0]
    if script in NAMING:
        algorithms = importlib.import_module("domainbed.algorithms")
        for name in given.algorithm:
            if not isinstance(getattr(algorithms, name, None), type):
                raise unknown_name("algorithm", name, algorithms.ALGORITHMS)
        for name in given.dataset:
            _check_dataset(name, given.data_dir)
            if script == "train_autolr" and hasattr(_class_of(name), "SETTING"):
                raise InputError(
                    f"train_autolr ends by training on whole domains, without the split of {name}: "
                    "use train."
                )
    if script == "collect_results" and given.input_dir:
        _register_recorded(given.input_dir)


def _check_dataset(name: str, data_dir: str) -> None:
    if _is_dataset(name, data_dir):
        return
    from ndcl_domainbed import backend
    from ndcl_domainbed.attach.registration import settings_for

    base, _, setting = name.rpartition("_")
    is_base = False
    with contextlib.suppress(InputError):  # a folder that holds something else
        is_base = _is_dataset(base, data_dir)
    if is_base:
        raise unknown_name(f"setting of {base}", setting, settings_for(base))
    wanted = base if setting in setting_names() else name
    raise InputError(
        f"{unknown_name('dataset', wanted, backend.dataset_names())}\nAny other name must be the "
        "path of a folder domain/class/image; the name of a setting may follow it: faces_Duality."
    )


def _class_of(name: str) -> Any:
    """Return the dataset; not any other class that DomainBed's module imports, such as MNIST."""
    datasets = importlib.import_module("domainbed.datasets")
    found = getattr(datasets, name, None)
    is_theirs = isinstance(found, type) and issubclass(found, datasets.MultipleDomainDataset)
    return found if is_theirs or name in datasets.DATASETS else None


def _is_dataset(name: str, data_dir: str) -> bool:
    """Tell whether there is a dataset ``name``, having registered it if it is a folder.

    Raises InputError for a folder that cannot be one.
    """
    from ndcl_domainbed import backend
    from ndcl_domainbed.attach.registration import register_dataset

    base, _, setting = name.rpartition("_")
    for path in (name, base) if setting in setting_names() else (name,):
        known = _class_of(name) is not None
        if not known and path and any(Path(place, path).exists() for place in (".", data_dir)):
            if path in vars(importlib.import_module("domainbed.datasets")):
                raise InputError(
                    f"{path}: DomainBed uses this name for something else. Rename the folder."
                )
            found = backend.get_dataset_class(path, data_dir)
            if getattr(found, "FIXED_SPLIT", None) is not None:
                raise InputError(
                    f"{path} has a split of its own (column split), which DomainBed's scripts "
                    "do not follow.\nUse `ndcl-domainbed train`, or leave out the column."
                )
            register_dataset(path, found)
    return isinstance(_class_of(name), type)


def _register_recorded(folder: Path) -> None:
    """Register the image folders that the runs in ``folder`` were trained on.

    DomainBed prints no table for a dataset that it does not know. Raises InputError if there is
    no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"--input_dir {folder}: there is no such folder.")
    recorded = set()
    for path in folder.glob(f"*/{RECORDS_FILE}"):
        with (
            path.open(encoding="utf-8") as file,
            contextlib.suppress(ValueError, KeyError, TypeError),
        ):
            args = json.loads(file.readline())["args"]  # DomainBed's reader reports a broken line
            recorded.add((args["dataset"], args["data_dir"] or "."))
    for name, data_dir in sorted(recorded):
        known = False
        with contextlib.suppress(InputError):
            known = _is_dataset(name, data_dir)
        if not known:
            print(
                f"no table for {name}: DomainBed's collect_results needs the dataset, which is not "
                "here. `ndcl-domainbed collect_results` does not need it.",
                file=sys.stderr,
            )
