"""Look at why a method works: a figure, a table and a caption for each check, on your runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from imbalance_splits.errors import InputError
from ndcl_domainbed import diagnostics
from ndcl_domainbed.diagnostics.findings import require_packages, write_page
from ndcl_domainbed.scripts.cli import new_parser, run

ALL = "all"


def build_parser() -> argparse.ArgumentParser:
    names = diagnostics.diagnostic_names()
    width = max(map(len, names))
    listed = [f"  {name:<{width}}  {diagnostics.subject(name)}" for name in names]
    flags = new_parser(
        "diagnose",
        __doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(["diagnostics:", *listed]),
    )
    add = flags.add_argument
    add("name", metavar="NAME", help=f"a diagnostic from the list below, or '{ALL}'")
    add("--run", required=True, metavar="DIR", help="the folder of a finished run, or of a sweep")
    add("--compare", nargs="+", default=[], metavar="DIR", help="runs to show beside it")
    add("--output", required=True, metavar="OUT",
        help="folder for NAME.png, NAME.csv and the page index.html")  # fmt: skip
    add("--data_dir", metavar="DIR", help="where the images are now; by default where they were")
    add("--images", type=int, default=diagnostics.Request.images, metavar="N",
        help="images of a split that a costly check looks at (%(default)s at most)")  # fmt: skip
    add("--seed", type=int, default=0, help="seed of what is drawn (%(default)s)")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps; by default the best there is")
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    folders = [Path(args.run), *map(Path, args.compare)]
    request = diagnostics.Request(
        folders[0], tuple(folders[1:]), args.data_dir, args.device, args.seed, args.images
    )
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}: name the folder of a finished run.")
    require_packages()  # no long wait for an error about a missing package
    output = Path(args.output)
    names = diagnostics.diagnostic_names() if args.name == ALL else [args.name]
    missed = []
    for name in names:
        try:
            found = diagnostics.get_diagnostic(name).diagnose(request)
        except InputError as error:
            if args.name != ALL:
                raise
            missed.append(f"{name}: left out, {error}")
            continue
        paths = found.write(output, name, request)
        print(f"{name}: {found.caption}\n  written: {', '.join(map(str, paths))}", flush=True)
    if len(missed) == len(names):
        raise InputError("\n".join(["none of the diagnostics could be made.", *missed]))
    for line in missed:
        print(line, file=sys.stderr)
    print(f"page: {write_page(output, diagnostics.diagnostic_names())}")
    return 0


if __name__ == "__main__":
    run(main)
