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
    available_counts,
    image_place,
    path_of_dataset,
    training_refusal,
)
from ndcl_domainbed.training.arguments import DEFAULT_DATA_DIR, parse_hparams

if TYPE_CHECKING:
    from imbalance_splits.table import LabelCounts, SplitTable

_DATASET = "a dataset's name, a folder domain/class/image, or a .csv or .json list of files"
_COUNTED = (
    "where a named dataset is: its images are counted there and a table made for them, "
    "instead of the shipped table"
)
_SETTING = "a setting's name, or a table: a .json or .csv file"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
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
    make = _command(commands, "make", "generate a table and write it", _DATASET, _SETTING)
    make.add_argument("--output", required=True, metavar="FILE", help="the table, a .json file")
    for flags in (show, plot, make):
        flags.add_argument("--data_dir", metavar="DIR", help=_COUNTED)
    _parameters(make)
    verify = _command(commands, "verify", "check all images, and if training takes them", _DATASET)
    verify.add_argument("--data_dir", metavar="DIR", help="where the dataset's folder is")
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
    add("--parameters", metavar="JSON", help="""of a setting of your own, such as '{"steps": 3}'""")
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
    from imbalance_splits.show import table_text

    table, counts = _table(args)
    sys.stdout.write(table_text(table, _targets(table, args.target), counts))
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

    given = {name: getattr(args, name) for name in _PARAMETERS if getattr(args, name) is not None}
    given |= parse_hparams(args.parameters, "--parameters")
    if "middle_range" in given:
        given["middle_range"] = tuple(given["middle_range"])
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
    """Return the table of ``args.dataset`` under ``args.setting``, and the available images."""
    from imbalance_splits.make_table import generated_table, table_for
    from imbalance_splits.published import label_counts, published_parameters

    counts = available_counts(args.dataset, args.data_dir)
    if counts is None:
        table = table_for(args.dataset, args.setting, None, parameters)
        return table, label_counts(args.dataset)
    if path := path_of_dataset(args.dataset, args.data_dir):
        name = path.resolve().stem
        return generated_table(name, args.setting, counts, parameters), counts
    given = {**published_parameters(args.dataset, args.setting), **(parameters or {})}
    return generated_table(args.dataset, args.setting, counts, given), counts


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

    data_dir = args.data_dir or DEFAULT_DATA_DIR
    root = image_place(args.dataset, data_dir)
    published = args.dataset if args.dataset in published_datasets() else None
    check = (
        partial(verify_list, root) if root.is_file() else partial(verify_folder, root, published)
    )
    report = _with_progress(check)
    refusal = None if published else training_refusal(args.dataset, data_dir)
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
