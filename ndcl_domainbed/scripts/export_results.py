"""Write one table of all runs, each at its selected step, for other programs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ndcl_domainbed.scripts.cli import new_parser, run


def build_parser() -> argparse.ArgumentParser:
    flags = new_parser("export_results", __doc__)
    add = flags.add_argument
    add("--input_dir", nargs="+", required=True, metavar="DIR", help="folders of runs, any depth")
    add("--output", required=True, metavar="FILE", help="a .csv or .parquet file")
    add("--selection", nargs="+", metavar="NAME", help="criteria: training, leave_one_out, oracle, "
        "balanced, worst_class; by default all")  # fmt: skip
    add("--partial", action="store_true", help="count unfinished runs too")
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from ndcl_domainbed.results import chosen, summary
    from ndcl_domainbed.results.reading import read_sweep

    path = chosen.table_path(args.output)
    sweep = read_sweep(args.input_dir, details=True)
    table = chosen.every_run(sweep, args.selection, partial=args.partial)
    chosen.write_table(table, path)
    line = f"{len(table)} rows and {table.shape[1]} columns written to {path}"
    print("\n".join([line, *summary.no_record(sweep)]))
    return 0


if __name__ == "__main__":
    run(main)
