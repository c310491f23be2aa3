"""List, show, make, plot and verify imbalanced splits."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imbalance_splits.errors import InputError, unknown_name
from ndcl_domainbed.own_code import add_flag
from ndcl_domainbed.scripts.cli import run
from ndcl_domainbed.scripts.dataset_argument import (
    count_images,
    get_class,
    image_place,
    training_refusal,
)
from ndcl_domainbed.training.arguments import DEFAULT_DATA_DIR

if TYPE_CHECKING:
    from imbalance_splits.table import LabelCounts, SplitTable

_DATASET = "a dataset's name, a folder domain/class/image, or a .csv or .json list of files"
_SETTING = "a setting's name, maybe as NAME:parameter=value,..., or a table: a .json or .csv file"


def build_parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line, for ``argv`` if that is given.

    Only 'make' has the flags of all settings: to know them, the user's own files are imported.
    """
    top = argparse.ArgumentParser(
        prog="ndcl-domainbed splits", description=__doc__, allow_abbrev=False
    )
    add_flag(top)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _command(commands, "list", "list the datasets, their shipped tables, and the settings")
    show = _command(commands, "show", "print a table", _DATASET, _SETTING)
    plot = _command(commands, "plot", "draw a table", _DATASET, _SETTING)
    plot.add_argument("--output", required=True, metavar="FILE", help=".png, .pdf or .svg")
    for flags in (show, plot):
        flags.add_argument("--target", metavar="DOMAIN", help="one target only; by default all")
        flags.add_argument("--validation", type=int, help=_MEANINGS["validation"])
    make = _command(commands, "make", "generate a table and write it", _DATASET, _SETTING)
    make.add_argument("--output", required=True, metavar="FILE", help="the table, a .json file")
    group = make.add_argument_group("shot groups")
    group.add_argument("--many", type=float, help="classes with more images on average are Many")
    group.add_argument("--few", type=float, help="classes with fewer images on average are Few")
    verify = _command(commands, "verify", "check all images, and if training takes them", _DATASET)
    for flags in (show, plot, make, verify):
        flags.add_argument(
            "--data_dir", metavar="DIR", default=DEFAULT_DATA_DIR,
            help="folder of the datasets, as for training (%(default)s)",
        )  # fmt: skip
    if argv is None or "make" in argv:
        _add_parameters(make)
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


_MEANINGS = {
    "c": "shape of the tail, > 1: the larger, the steeper",
    "q": "share kept for testing at the head of a tail",
    "validation": "validation images of each class and domain",
    "lower": "least training count",
    "middle": "size of the flat domain, to the mean of the others",
    "middle_range": "least and largest number of images of a scarce domain",
    "factor": "the largest count to the smallest",
    "like": "the setting whose number of training images it has",
    "seed": "seed of the random draws",
}
"""What the parameters of this package's settings mean."""


def _add_parameters(flags: argparse.ArgumentParser) -> None:
    """Add a flag for each parameter of any setting, also of the user's own.

    A parameter with the name of another flag can still be given as SETTING:parameter=value.
    """
    from imbalance_splits.settings import parameter_names, setting_names

    owners: dict[str, list[str]] = {}
    for setting in setting_names():
        for parameter in parameter_names(setting):
            owners.setdefault(parameter, []).append(setting)
    group = flags.add_argument_group("parameters of the setting")
    taken = {action.dest for action in flags._actions}
    for parameter, settings in owners.items():
        if parameter not in taken:
            meaning = f": {_MEANINGS[parameter]}" if parameter in _MEANINGS else ""
            group.add_argument(
                f"--{parameter}", nargs="+", metavar="VALUE", help=", ".join(settings) + meaning
            )
    flags.set_defaults(parameters=[name for name in owners if name not in taken])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status. Raises InputError for bad input."""
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(words).parse_args(words)
    if not getattr(args, "dataset", "none").strip():  # as a path it would be the working directory
        raise InputError(f"DATASET is empty: give {_DATASET}.")
    commands = {"list": _list, "show": _show, "make": _make, "plot": _plot, "verify": _verify}
    return commands[args.command](args)


def _list(args: argparse.Namespace) -> int:
    """Print what there is."""
    from imbalance_splits.published import (
        authors_datasets,
        published_datasets,
        published_settings,
    )
    from imbalance_splits.settings import get_setting, parameter_names, setting_names

    authors = authors_datasets()
    ours = [name for name in published_datasets() if name not in authors]
    for title, datasets in (("by the authors of NDCL", authors), ("made for this package", ours)):
        print(f"Published tables, {title}:")
        for dataset in datasets:
            print(f"  {dataset:<17}{', '.join(published_settings(dataset))}")
    print("\nSettings, for any dataset; or the path of a table of your own, .json or .csv:")
    for name in setting_names():
        summary = (get_setting(name).__doc__ or "").splitlines()[0].replace("`", "")
        print(f"  {name:<16}{summary}")
        print(f"  {'':<16}parameters: {', '.join(parameter_names(name)) or 'none'}")
    return 0


def _show(args: argparse.Namespace) -> int:
    """Print a table."""
    from imbalance_splits.show import format_table

    table, counts = _table(args)
    sys.stdout.write(format_table(table, _targets(table, args.target), counts))
    return 0


def _plot(args: argparse.Namespace) -> int:
    """Draw a table."""
    from imbalance_splits.plot import plot_table

    table, _ = _table(args)
    plot_table(table, args.output, _targets(table, args.target))
    print(f"{args.output}: {table.dataset} {table.setting}")
    return 0


def _make(args: argparse.Namespace) -> int:
    """Generate a table, write it, and say how much of the dataset it keeps."""
    from imbalance_splits.kept import describe_kept
    from imbalance_splits.settings import parse_value

    words = {name: getattr(args, name) for name in args.parameters}
    given = {name: parse_value(",".join(x)) for name, x in words.items() if x is not None}
    if Path(args.output).suffix.lower() != ".json":
        raise InputError(f"--output {args.output}: the table is written as .json.")
    table, counts = _table(args, given)
    table = _with_thresholds(table, args.many, args.few)
    table.write(args.output)
    origin = table.provenance.get("source") or table.provenance.get("generator") or args.setting
    print(
        f"{args.output}: {table.dataset} {table.setting}, {len(table.domains)} domains, "
        f"{len(table.classes)} classes, from {origin}"
    )
    for target in table.train_counts:
        for line in describe_kept(table, counts, target):
            print(line)
    return 0


def _with_thresholds(table: SplitTable, many: float | None, few: float | None) -> SplitTable:
    """Return the table with the given thresholds for every target; InputError if they overlap."""
    if many is None and few is None:
        return table
    given = {name: value for name, value in (("many", many), ("few", few)) if value is not None}
    thresholds = {t: dataclasses.replace(old, **given) for t, old in table.thresholds.items()}
    return dataclasses.replace(table, thresholds=thresholds)


def _table(
    args: argparse.Namespace, parameters: dict[str, Any] | None = None
) -> tuple[SplitTable, LabelCounts]:
    """Return the table that training would use, and the images that it would find.

    Raises InputError where they do not fit.
    """
    from imbalance_splits.imbalance import counts_of
    from imbalance_splits.make_table import generate_table, table_for
    from imbalance_splits.published import describe_twin, label_counts, published_datasets
    from ndcl_domainbed.testbed.datasets import path_of

    if getattr(args, "validation", None) is not None and parameters is None:
        parameters = {"validation": args.validation}
    if getattr(get_class(args.dataset, args.data_dir), "FIXED_SPLIT", None) is not None:
        raise InputError(
            f"{args.dataset} has a split of its own (the column split), so no setting applies: "
            "leave out the column."
        )
    counts = count_images(args.dataset, args.data_dir)
    path = path_of(args.dataset, args.data_dir)
    if path is not None:
        for line in describe_twin(counts):
            print(f"note: {line}", file=sys.stderr)
        return generate_table(path.resolve().stem, args.setting, counts, parameters), counts
    shipped = args.dataset in published_datasets() and counts == label_counts(args.dataset)
    table = table_for(args.dataset, args.setting, None if shipped else counts, parameters)
    for target in table.train_counts:
        counts_of(table, target, table.sources(target), list(next(iter(counts.values()))))
    return table, counts


def _targets(table: SplitTable, target: str | None) -> list[str] | None:
    """Return the chosen targets; None for all."""
    if target is None:
        return None
    if target not in table.train_counts:
        raise unknown_name("target", target, table.train_counts)
    return [target]


def _verify(args: argparse.Namespace) -> int:
    """Check the images of a dataset; status 1 if something is wrong with them."""
    from imbalance_splits.published import published_datasets
    from imbalance_splits.verify import verify_folder, verify_list
    from ndcl_domainbed.testbed import datasets

    root = image_place(args.dataset, args.data_dir)
    published = args.dataset if args.dataset in published_datasets() else None
    known = args.dataset in datasets.classes()
    check = (
        partial(verify_list, root)
        if root.is_file()
        else partial(verify_folder, root, published, known=known)
    )
    report = _with_progress(check)
    refusal = None if published else training_refusal(args.dataset, args.data_dir)
    if refusal and not any(str(path) in refusal for path in report.unread):
        report.problems.append(f"training refuses it: {refusal}")
    for line in report.problems:
        print(line)
    for line in report.notes:
        print(f"note: {line}")
    print(f"{root}: {report.summary(compared=published is not None)}")
    return 1 if report.problems else 0


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
