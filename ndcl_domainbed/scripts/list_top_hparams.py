"""List the hyper-parameter draws of a dataset, algorithm and test domain, best first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imbalance_splits.errors import InputError
from imbalance_splits.published import find_domains
from ndcl_domainbed.scripts.cli import new_parser, run
from ndcl_domainbed.training.arguments import domain_word

if TYPE_CHECKING:
    import pandas as pd

    from ndcl_domainbed.results.reading import Sweep


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line: DomainBed's flags, and this project's."""
    flags = new_parser("list_top_hparams", __doc__)
    add = flags.add_argument
    add("--input_dir", nargs="+", required=True, metavar="DIR", help="folders of runs, any depth")
    add("--dataset", required=True, help="with all its networks, or 'PACS [resnet18]' alone")
    add("--algorithm", required=True, help="with all its variants, or 'NDCL (beta=0)' alone")
    add("--test_env", type=domain_word, required=True, metavar="DOMAIN",
        help="the test domain: its number, from 0, its name in tables or its folder")  # fmt: skip
    add("--imbalance", metavar="SETTING", help="the setting, if the runs have several")
    add("--selection", nargs="+", metavar="NAME", help="criteria; by default all that apply")
    add("--top", type=int, metavar="N", help="list the best N of each trial; by default all")
    add("--partial", action="store_true", help="count unfinished runs too")
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    if args.top is not None and args.top < 1:
        raise InputError(f"--top must be at least 1; got {args.top}")
    from ndcl_domainbed.results import chosen, selection, summary
    from ndcl_domainbed.results.reading import read_sweep

    setting = [args.imbalance] if args.imbalance else None
    sweep = read_sweep(args.input_dir).only(
        dataset=[args.dataset], algorithm=[args.algorithm], setting=setting
    )
    if sweep.runs.empty:
        under = f" under {args.imbalance}" if args.imbalance else ""
        raise InputError(f"there is no run of {args.algorithm} on {args.dataset}{under}.")
    settings = sorted(map(str, sweep.runs["setting"].unique()))
    if len(settings) > 1:
        raise InputError(f"there are runs of {len(settings)} settings; choose one with "
                         f"--imbalance: {', '.join(settings)}")  # fmt: skip
    env = _find_test_env(args.test_env, sweep)
    records = sweep.frame()
    print("\n".join([f"Total records: {len(records)}", *summary.no_record(sweep)]))
    listed = False
    for criterion in args.selection or selection.criterion_names():
        best = selection.best_of_each_draw(records, criterion, partial=args.partial)
        best = best[best["test_env"] == env]
        if args.selection or len(best):
            print(f"Model selection: {selection.CRITERIA[criterion].title}")
            _print(args, chosen.with_hparams(best, sweep))
            listed = True
    if len(records) and not listed:
        print("no run that any criterion applies to; --partial also takes runs that are not done")
    return 0


def _find_test_env(word: int | str, sweep: Sweep) -> int:
    """Return the number of a test domain; InputError if no run, done or not, has it."""
    from ndcl_domainbed.results.labels import base_dataset
    from ndcl_domainbed.results.splits import domain_names

    domains = domain_names(sweep.runs)
    [env] = find_domains([word], base_dataset(str(sweep.runs["dataset"].iloc[0])), domains)
    there = sorted({int(one) for one in sweep.runs["test_env"] if one >= 0})
    if env not in there:
        listed = ", ".join(domains[one] for one in there) or "none"
        raise InputError(f"no run has the test domain {domains[env]} alone; there are: {listed}")
    return env


def _print(args: argparse.Namespace, table: pd.DataFrame) -> None:
    """Print the draws of every variant and network by themselves, named if need be."""
    if table.empty:
        print("no run that the criterion applies to")
    variants = list(table.groupby(["dataset", "algorithm"], observed=True))
    for (dataset, algorithm), draws in variants:
        if len(variants) > 1 or (dataset, algorithm) != (args.dataset, args.algorithm):
            print(f"{algorithm} on {dataset}")
        for trial, rows in draws.groupby("trial_seed"):
            print(f"trial_seed: {trial}")
            for row in rows.head(args.top or len(rows)).to_dict("records"):
                print(f"\tval_acc: {row['score']:.4f}, test_acc: {row['overall']:.4f}, "
                      f"step: {row['step']:g}\n\t\thparams:")  # fmt: skip
                for name, value in row.items():
                    if str(name).startswith("hparams.") and value is not None and value == value:
                        print(f"\t\t\t{str(name).removeprefix('hparams.')}: {value}")
                print(f"\t\toutput_dir: {row['run']}")


if __name__ == "__main__":
    run(main)
