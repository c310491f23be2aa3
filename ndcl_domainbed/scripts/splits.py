"""List, show, make, plot and verify imbalanced splits."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError, unknown_name
from ndcl_domainbed.scripts.cli import run
from ndcl_domainbed.training.arguments import DEFAULT_DATA_DIR

_DATASET = "a data set's name, a folder domain/class/image, or a .csv or .json list of files"
_COUNTED = (
    "where a named data set is: its images are counted there and a table made for them, "
    "instead of the published table"
)
_SETTING = "a setting's name, or a table: a .json or .csv file"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="ndcl-domainbed splits", description=__doc__, allow_abbrev=False
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _command(commands, "list", "list the data sets, their published tables, and the settings")
    show = _command(commands, "show", "print a table", _DATASET, _SETTING)
    plot = _command(commands, "plot", "draw a table", _DATASET, _SETTING)
    plot.add_argument("--output", required=True, metavar="FILE", help=".png, .pdf or .svg")
    for flags in (show, plot):
        flags.add_argument("--target", metavar="DOMAIN", help="one target only; by default all")
    make = _command(commands, "make", "generate a table and write it", _DATASET, _SETTING)
    make.add_argument("--output", required=True, metavar="FILE", help="the table, a .json file")
    for flags in (show, plot, make):
        flags.add_argument("--data_dir", metavar="DIR", help=_COUNTED)
    _parameters(make)
    verify = _command(commands, "verify", "check all images, and if training takes them", _DATASET)
    verify.add_argument("--data_dir", metavar="DIR", help="where the data set's folder is")
    return top


def _command(
    commands: Any, name: str, text: str, dataset: str = "", setting: str = ""
) -> argparse.ArgumentParser:
    """Add a sub-command and the arguments that it takes by place."""
    flags: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text.capitalize() + ".", allow_abbrev=False
    )
    if dataset:
        flags.add_argument("dataset", metavar="DATASET", help=dataset)
    if setting:
        flags.add_argument("setting", metavar="SETTING", help=setting)
    return flags


def _parameters(flags: argparse.ArgumentParser) -> None:
    """Add what ``make`` can vary; what is not given keeps the setting's default."""
    group = flags.add_argument_group("parameters of the setting")
    add = group.add_argument
    add("--c", type=float, help="shape of the tail, > 1: the larger, the steeper")
    add("--q", type=float, help="share kept for testing at the head of a tail")
    add("--validation", type=int, help="validation images of each class and domain")
    add("--lower", type=int, help="least training count")
    add("--middle", type=float, help="Cross: size of the flat domain, to the mean of the others")
    add(
        "--middle_range",
        type=int,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="Duality: range of the number of images of a scarce domain",
    )
    add("--factor", type=float, help="Exponential: the largest count to the smallest")
    add("--seed", type=int, help="Duality: seed of the random draws")
    group = flags.add_argument_group("shot groups")
    group.add_argument("--many", type=float, help="classes with more images on average are Many")
    group.add_argument("--few", type=float, help="classes with fewer images on average are Few")


_PARAMETERS = ("c", "q", "validation", "lower", "middle", "middle_range", "factor", "seed")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status. Raises InputError for bad input."""
    args = build_parser().parse_args(argv)
    if not getattr(args, "dataset", "none").strip():  # as a path it would be the working directory
        raise InputError(f"DATASET is empty: give {_DATASET}.")
    commands = {"list": _list, "show": _show, "make": _make, "plot": _plot, "verify": _verify}
    return commands[args.command](args)


def _list(args: argparse.Namespace) -> int:
    """Print what there is."""
    from imbalance_splits.published import published_datasets, published_settings
    from imbalance_splits.settings import get_setting, parameter_names, setting_names

    print("Published tables:")
    for dataset in published_datasets():
        print(f"  {dataset:<12}{', '.join(published_settings(dataset))}")
    print("\nSettings, for any data set; or the path of a table of your own, .json or .csv:")
    for name in setting_names():
        summary = (get_setting(name).__doc__ or "").splitlines()[0].replace("`", "")
        print(f"  {name:<16}{summary}")
        print(f"  {'':<16}parameters: {', '.join(parameter_names(name)) or 'none'}")
    return 0


def _show(args: argparse.Namespace) -> int:
    """Print a table."""
    from imbalance_splits.show import table_text

    table = _table(args)
    sys.stdout.write(table_text(table, _targets(table, args.target)))
    return 0


def _plot(args: argparse.Namespace) -> int:
    """Draw a table."""
    from imbalance_splits.plot import plot_table

    table = _table(args)
    plot_table(table, args.output, _targets(table, args.target))
    print(f"{args.output}: {table.dataset} {table.setting}")
    return 0


def _make(args: argparse.Namespace) -> int:
    """Generate a table and write it."""
    given = {name: getattr(args, name) for name in _PARAMETERS if getattr(args, name) is not None}
    if "middle_range" in given:
        given["middle_range"] = tuple(given["middle_range"])
    if Path(args.output).suffix.lower() != ".json":
        raise InputError(f"--output {args.output}: the table is written as .json.")
    table = _with_thresholds(_table(args, given), args.many, args.few)
    table.write(args.output)
    origin = table.provenance.get("source") or table.provenance.get("generator") or args.setting
    print(
        f"{args.output}: {table.dataset} {table.setting}, {len(table.domains)} domains, "
        f"{len(table.classes)} classes, from {origin}"
    )
    return 0


def _with_thresholds(table: Any, many: float | None, few: float | None) -> Any:
    """Return the table with the given thresholds for every target; InputError if they overlap."""
    if many is None and few is None:
        return table
    given = {name: value for name, value in (("many", many), ("few", few)) if value is not None}
    thresholds = {t: dataclasses.replace(old, **given) for t, old in table.thresholds.items()}
    return dataclasses.replace(table, thresholds=thresholds)


def _table(args: argparse.Namespace, parameters: dict[str, Any] | None = None) -> Any:
    """Return the table of ``args.dataset`` under ``args.setting``."""
    from imbalance_splits.make_table import generated_table, table_for
    from imbalance_splits.published import published_parameters

    counts = _label_counts(args.dataset, args.data_dir)
    if counts is None:
        return table_for(args.dataset, args.setting, None, parameters)
    if path := _path(args.dataset, args.data_dir):
        name = path.resolve().stem
        return generated_table(name, args.setting, counts, parameters)
    known = published_parameters(args.dataset, args.setting)
    return generated_table(args.dataset, args.setting, counts, {**known, **(parameters or {})})


def _targets(table: Any, target: str | None) -> list[str] | None:
    """Return the chosen targets; None for all."""
    if target is None:
        return None
    if target not in table.train_counts:
        raise unknown_name("target", target, table.train_counts)
    return [target]


def _path(dataset: str, data_dir: str | None) -> Path | None:
    """Return the folder or list of files that ``dataset`` is the path of; None for a name.

    A folder below ``data_dir`` goes by its name. A list need not exist.
    """
    from ndcl_domainbed.testbed.datasets import DATASETS, path_of
    from ndcl_domainbed.testbed.datasets.file_lists import LIST_SUFFIXES

    path, found = Path(dataset), path_of(dataset, data_dir or DEFAULT_DATA_DIR)
    if found is not None and (found == path or found.is_file()):
        return found
    is_list = dataset not in DATASETS and path.suffix.lower() in LIST_SUFFIXES
    return path if is_list else None


def _label_counts(dataset: str, data_dir: str | None) -> dict[str, dict[str, int]] | None:
    """Return domain -> class -> images; None for a published data set that is not counted."""
    from imbalance_splits.published import published_datasets

    if path := _path(dataset, data_dir):
        if path.is_dir():
            from imbalance_splits.folder_scan import folder_label_counts

            return folder_label_counts(path)
        from imbalance_splits.file_list import read_file_list

        return read_file_list(path).label_counts()
    if data_dir is None and dataset in published_datasets():
        return None
    return _named_label_counts(dataset, data_dir or DEFAULT_DATA_DIR)


def _named_label_counts(dataset: str, data_dir: str) -> dict[str, dict[str, int]]:
    """Count the images of a data set that has a class: its folder's, or those that it holds."""
    from imbalance_splits.folder_scan import folder_label_counts
    from ndcl_domainbed.backend import get_dataset_class

    found = get_dataset_class(dataset, data_dir)
    folder = getattr(found, "FOLDER", None)
    if folder is None:
        from imbalance_splits.labels import label_counts_of

        return label_counts_of(found(data_dir, [], {"data_augmentation": False}))
    root = Path(data_dir) / folder
    if not root.is_dir():
        raise InputError(f"no folder {root}; name the directory that holds it with --data_dir.")
    counts = folder_label_counts(root)
    names = zip(found.ENVIRONMENTS, found.domain_folders(root), strict=True)
    return {name: counts[folder] for name, folder in names}


def _verify(args: argparse.Namespace) -> int:
    """Check the images of a data set; status 1 if something is wrong with them."""
    from imbalance_splits.published import published_datasets
    from imbalance_splits.verify import verify_folder, verify_list

    data_dir = args.data_dir or DEFAULT_DATA_DIR
    root = _place(args.dataset, data_dir)
    published = args.dataset if args.dataset in published_datasets() else None
    check = (
        partial(verify_list, root) if root.is_file() else partial(verify_folder, root, published)
    )
    report = _with_progress(check)
    refusal = None if published else _refusal(args.dataset, data_dir)
    if refusal and not any(str(path) in refusal for path in report.unread):
        report.problems.append(f"training refuses it: {refusal}")
    for line in report.problems:
        print(line)
    for line in report.notes:
        print(f"note: {line}")
    print(f"{root}: {report.summary(compared=published is not None)}")
    return 1 if report.problems else 0


def _refusal(dataset: str, data_dir: str) -> str | None:
    """Return why training would not take a data set's folders or list; None if it would.

    The images are listed as for training. That ends at the first thing wrong, which may be an
    image that is reported already.
    """
    from ndcl_domainbed.testbed.datasets import get_dataset_class

    try:
        get_dataset_class(dataset, data_dir)(data_dir, [], {"data_augmentation": False})
    except InputError as error:
        return str(error)
    return None


def _place(dataset: str, data_dir: str) -> Path:
    """Return the folder in which the images of a data set are looked for, or their list.

    A path is looked for where training looks for it.
    """
    from ndcl_domainbed.testbed.datasets import get_dataset_class, path_of

    path = path_of(dataset, data_dir)
    if path is not None:
        return path
    folder = getattr(get_dataset_class(dataset, data_dir), "FOLDER", None)
    if folder is None:
        raise InputError(f"{dataset} has no folder of images to verify.")
    return Path(data_dir) / folder


def _with_progress(work: Any) -> Any:
    """Run ``work`` with a bar on standard error that shows the time to go."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("decoding", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("decoding", total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))


if __name__ == "__main__":
    run(main)
