"""List, show, make, plot and verify imbalanced splits."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imbalance_splits.errors import InputError, unknown_name
from ndcl_domainbed.scripts.cli import new_parser, run
from ndcl_domainbed.training.arguments import DEFAULT_DATA_DIR

if TYPE_CHECKING:
    from imbalance_splits.table import LabelCounts, SplitTable

_DATASET = "a dataset's name, a folder domain/class/image, or a .csv or .json list of files"
_SETTING = "a setting's name, maybe as NAME:parameter=value,..., or a table: a .json or .csv file"

_MEANINGS = {
    "c": "shape of the tail, > 1: the larger, the steeper",
    "q": "share kept for testing at the head of a tail",
    "validation": "validation images of each class and domain",
    "lower": "least training count",
    "middle": "size of the flat domain relative to the mean of the others",
    "middle_range": "least and largest number of images of a scarce domain",
    "factor": "ratio of the largest count to the smallest",
    "like": "setting whose number of training images to match",
    "seed": "seed of the random draws",
}
"""What the parameters of this package's settings mean."""


def build_parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Return the parser; for 'make' in ``argv`` (or None) with the flags of all settings."""
    top = new_parser("splits", __doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in {
        "list": "list the datasets, their shipped tables, and the settings",
        "show": "print a table",
        "plot": "draw a table",
        "make": "generate a table and write it",
        "verify": "check all images, and whether training accepts them",
    }.items():
        flags = commands.add_parser(
            name, help=text, description=text.capitalize() + ".", allow_abbrev=False
        )
        add = flags.add_argument
        if name == "list":
            continue
        add("dataset", metavar="DATASET", help=_DATASET)
        if name != "verify":
            add("setting", metavar="SETTING", help=_SETTING)
        if name == "plot":
            add("--output", required=True, metavar="FILE", help=".png, .pdf or .svg")
        if name == "make":
            add("--output", required=True, metavar="FILE", help="the table, a .json file")
            group = flags.add_argument_group("shot groups")
            for kind, more in (("many", "more"), ("few", "fewer")):
                group.add_argument(f"--{kind}", type=float, help=f"classes with {more} images on "
                                   f"average are {kind.capitalize()}")  # fmt: skip
        if name in ("show", "plot"):
            add("--target", metavar="DOMAIN", help="one target only; by default all")
            add("--validation", type=int, help=_MEANINGS["validation"])
        add("--data_dir", metavar="DIR", default=DEFAULT_DATA_DIR,
            help="folder of the datasets, as for training (%(default)s)")  # fmt: skip
        if name == "make" and (argv is None or "make" in argv):
            _add_parameters(flags)
    return top


def _add_parameters(flags: argparse.ArgumentParser) -> None:
    """Add a flag for each parameter of any setting, the user's own too; names there are stay."""
    from imbalance_splits.settings import parameter_names, setting_names

    taken = {action.dest for action in flags._actions}
    owners: dict[str, list[str]] = {}
    for setting in setting_names():
        for parameter in parameter_names(setting):
            if parameter not in taken:
                owners.setdefault(parameter, []).append(setting)
    group = flags.add_argument_group("parameters of the setting")
    for parameter, settings in owners.items():
        meaning = f": {_MEANINGS[parameter]}" if parameter in _MEANINGS else ""
        group.add_argument(
            f"--{parameter}", nargs="+", metavar="VALUE", help=", ".join(settings) + meaning
        )
    flags.set_defaults(parameters=list(owners))


def main(argv: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(words).parse_args(words)
    if not getattr(args, "dataset", "none").strip():  # as a path it would be the working directory
        raise InputError(f"DATASET is empty: give {_DATASET}.")
    commands = {"list": _list, "show": _show, "make": _make, "plot": _plot, "verify": _verify}
    return commands[args.command](args)


def _list(args: argparse.Namespace) -> int:
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
    from imbalance_splits.show import format_table

    table, counts = _table(args)
    sys.stdout.write(format_table(table, _targets(table, args.target), counts))
    return 0


def _plot(args: argparse.Namespace) -> int:
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
    limits = {
        name: getattr(args, name) for name in ("many", "few") if getattr(args, name) is not None
    }
    thresholds = {t: dataclasses.replace(old, **limits) for t, old in table.thresholds.items()}
    table = dataclasses.replace(table, thresholds=thresholds)
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


def _table(
    args: argparse.Namespace, parameters: dict[str, Any] | None = None
) -> tuple[SplitTable, LabelCounts]:
    """Return the table that training would use, and the images it would find; or InputError."""
    from imbalance_splits.imbalance import counts_of
    from imbalance_splits.make_table import generate_table, table_for
    from imbalance_splits.published import describe_twin, label_counts, published_datasets
    from ndcl_domainbed.testbed.datasets import path_of

    if getattr(args, "validation", None) is not None and parameters is None:
        parameters = {"validation": args.validation}
    if getattr(_get_class(args.dataset, args.data_dir), "FIXED_SPLIT", None) is not None:
        raise InputError(
            f"{args.dataset} has a split of its own (the column split), so no setting applies: "
            "leave out the column."
        )
    counts = _count_images(args.dataset, args.data_dir)
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
    if target is not None and target not in table.train_counts:
        raise unknown_name("target", target, table.train_counts)
    return None if target is None else [target]


def _verify(args: argparse.Namespace) -> int:
    """Check the images of a dataset; status 1 if something is wrong with them."""
    from imbalance_splits.published import published_datasets
    from imbalance_splits.verify import verify_folder, verify_list
    from ndcl_domainbed.testbed import datasets

    root = datasets.path_of(args.dataset, args.data_dir)
    if root is None:
        folder = getattr(_get_class(args.dataset, args.data_dir), "FOLDER", None)
        if folder is None:
            raise InputError(f"{args.dataset} has no folder of images to verify.")
        root = Path(args.data_dir) / folder
    published = args.dataset if args.dataset in published_datasets() else None
    known = args.dataset in datasets.classes()
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("decoding", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("decoding", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        is_list = root.is_file()
        report = (
            verify_list(root, show)
            if is_list
            else verify_folder(root, published, show, known=known)
        )
    if not published:
        try:  # ends at the first thing wrong, which may be an image that is reported already
            _count_images(args.dataset, args.data_dir)
        except InputError as error:
            if not any(str(path) in str(error) for path in report.unread):
                report.problems.append(f"training refuses it: {error}")
    for line in [*report.problems, *(f"note: {note}" for note in report.notes)]:
        print(line)
    print(f"{root}: {report.summary(compared=published is not None)}")
    return 1 if report.problems else 0


def _get_class(dataset: str, data_dir: str) -> Any:
    """Return the class of the dataset that training would read; torch only if it must be."""
    from ndcl_domainbed.testbed import datasets

    if dataset in datasets.classes() or datasets.path_of(dataset, data_dir) is not None:
        return datasets.get_dataset_class(dataset, data_dir)
    from ndcl_domainbed.backend import get_dataset_class

    return get_dataset_class(dataset, data_dir)


def _count_images(dataset: str, data_dir: str) -> LabelCounts:
    """Return domain -> class -> images of the dataset that training would read.

    Of a published dataset that is not in ``data_dir`` the published counts.
    """
    from imbalance_splits.labels import check_class_count, label_counts_of
    from imbalance_splits.published import label_counts, published_datasets

    found = _get_class(dataset, data_dir)
    if hasattr(found, "count_images"):
        if dataset in published_datasets() and not (Path(data_dir) / found.FOLDER).is_dir():
            return label_counts(dataset)
        return found.count_images(data_dir)
    opened = found(data_dir, [], {"data_augmentation": False})
    check_class_count(opened.classes, dataset)
    return label_counts_of(opened)


if __name__ == "__main__":
    run(main)
