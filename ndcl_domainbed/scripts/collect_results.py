"""Print the leaderboards of one or several folders of runs, DomainBed's or this project's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.whole_files import write_in_folder
from ndcl_domainbed.scripts.cli import new_parser, run

if TYPE_CHECKING:
    from ndcl_domainbed.results.leaderboards import Leaderboards
    from ndcl_domainbed.results.reading import Sweep
    from ndcl_domainbed.results.tables import Table


def build_parser() -> argparse.ArgumentParser:
    flags = new_parser(
        "collect_results", __doc__, usage="%(prog)s --input_dir DIR [DIR ...] [options]"
    )
    add = flags.add_argument
    add("--input_dir", nargs="+", required=True, metavar="DIR", help="folders of runs, any depth")
    add("--format", metavar="NAME", help="text (DomainBed's form), markdown, latex, csv or html; "
        "by default that of --output's name, else text")  # fmt: skip
    add("--latex", action="store_true", help="the same as --format latex")
    add("--output", metavar="FILE", help="write the tables to FILE too, and the chosen "
        "hyper-parameters to NAME_hparams.csv beside it (FILE without its suffix)")  # fmt: skip
    add("--hparams_out", metavar="FILE", help="write the chosen hyper-parameters to FILE (.csv)")
    add("--html", metavar="FILE", help="write an HTML report, one page that needs no other file "
        "and includes the chosen hyper-parameters")  # fmt: skip
    add("--selection", nargs="+", metavar="NAME", help="criteria: training, leave_one_out, oracle, "
        "balanced, worst_class; by default all")  # fmt: skip
    add("--metrics", nargs="+", metavar="NAME", help="measures to show, and to show by domain: "
        "overall, many, medium, few, zero, balanced, worst")  # fmt: skip
    add("--algorithms", nargs="+", metavar="NAME", help="only these: NDCL with all its variants, "
        "'NDCL (beta=0)' alone")  # fmt: skip
    add("--datasets", nargs="+", metavar="NAME", help="only these: PACS with all its networks, "
        "'PACS [resnet18]' alone")  # fmt: skip
    add("--imbalance", nargs="+", metavar="SETTING", help="only these; none: the ordinary split")
    add("--variants", nargs="*", metavar="NAME", help="rows for variants of the runs' evaluation "
        "too, such as 'NDCL + SWAD' (ema, average, swad, adjusted, crt; without a name: all that "
        "the runs have)")  # fmt: skip
    add("--statistics", action="store_true", help="ranks, tests, intervals and performance "
        "profiles over all cells too; with --output also diagrams, NAME_ranks_CRITERION.svg and "
        ".pdf (they need the extra 'report')")  # fmt: skip
    add("--reference", metavar="NAME", help="which algorithm to compare with the others; by "
        "default NDCL")  # fmt: skip
    add("--cost", action="store_true", help="seconds of training and draws behind a figure too")
    add("--sort", action="store_true", help="sort the rows, the best on top")
    add("--counts", action="store_true", help="show (trials/runs) behind each figure")
    add("--partial", action="store_true", help="count unfinished runs too")
    add("--verbose", action="store_true", help="name what was left out, on standard error")
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from ndcl_domainbed.results import chosen, formats, leaderboards, selection, summary
    from ndcl_domainbed.results.reading import read_sweep

    if args.latex and args.format not in (None, "latex"):
        raise InputError(f"--latex and --format {args.format} contradict each other; give one")
    name = formats.choose_format("latex" if args.latex else args.format, args.output)
    hparams = chosen.table_path(args.hparams_out) if args.hparams_out else None
    if args.output and not hparams:
        hparams = Path(args.output).with_name(f"{Path(args.output).stem}_hparams.csv")
    whole = read_sweep(args.input_dir, variants=args.variants)
    sweep = whole.only(algorithm=args.algorithms, dataset=args.datasets, setting=args.imbalance)
    args.reference = _reference(args.reference, sweep)
    if args.verbose:
        print("\n".join(summary.left_out(whole, partial=args.partial)), file=sys.stderr)
    criteria = args.selection or selection.criterion_names()
    built = leaderboards.build(sweep, criteria, partial=args.partial, metrics=args.metrics)
    head = summary.head(sweep, partial=args.partial)
    shown = _tables(args, built)
    if args.cost:
        from ndcl_domainbed.results.cost import build_cost_tables

        shown += build_cost_tables(sweep, built)
    text = formats.render(name, head, shown, counts=args.counts)
    encoding = sys.stdout.encoding or "utf-8"  # may lack what the file, which is UTF-8, has
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    if args.output:
        write_in_folder(Path(args.output), text)
    if hparams:
        chosen.write_table(chosen.selected_hparams(sweep, built), hparams)
    if args.html:
        from ndcl_domainbed.results import report

        write_in_folder(
            Path(args.html), report.page(sweep, built, args.reference, partial=args.partial)
        )
    if args.output and args.statistics:
        from ndcl_domainbed.results.rank_diagram import draw_all

        output = Path(args.output)
        for name, content in draw_all(built, args.metrics or ("overall",), args.reference):
            write_in_folder(output.with_name(f"{output.stem}_ranks_{name}"), content)
    return 0


def _reference(asked: str | None, sweep: Sweep) -> str:
    """Return the algorithm to compare with the others: by default NDCL, or its only variant."""
    from ndcl_domainbed.results.labels import base_algorithm

    known = sorted(map(str, sweep.runs["algorithm"].unique()))
    if asked is None:
        variants = [name for name in known if base_algorithm(name) == "NDCL"]
        return variants[0] if len(variants) == 1 else "NDCL"
    if asked not in known:
        raise unknown_name("algorithm of --reference", asked, known)
    return asked


def _tables(args: argparse.Namespace, built: Sequence[Leaderboards]) -> list[Table]:
    from ndcl_domainbed.results.statistics_tables import build_tables
    from ndcl_domainbed.results.tables import best_first

    tables = [best_first(table) if args.sort else table for one in built for table in one.tables]
    if args.statistics:
        tables += build_tables(built, args.metrics or ("overall",), args.reference)
    return tables


if __name__ == "__main__":
    run(main)
