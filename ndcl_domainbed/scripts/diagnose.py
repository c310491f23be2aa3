"""Look at why a method works: a picture, a table and a caption for each check, on your runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from imbalance_splits.errors import InputError
from ndcl_domainbed import diagnostics
from ndcl_domainbed.own_code import add_flag
from ndcl_domainbed.scripts.cli import run

ALL = "all"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    names = diagnostics.diagnostic_names()
    width = max(map(len, names))
    listed = [f"  {name:<{width}}  {diagnostics.subject(name)}" for name in names]
    flags = argparse.ArgumentParser(
        prog="ndcl-domainbed diagnose", description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(["diagnostics:", *listed]),
    )  # fmt: skip
    add = flags.add_argument
    add_flag(flags)
    add("name", metavar="NAME", help=f"a diagnostic from the list below, or '{ALL}'")
    add("--run", required=True, metavar="DIR", help="the folder of a finished run, or of a sweep")
    add("--compare", nargs="+", default=[], metavar="DIR", help="runs to show beside it")
    add("--output", required=True, metavar="OUT",
        help="folder for NAME.png, NAME.csv and the page index.html")  # fmt: skip
    add("--data_dir", metavar="DIR", help="where the images are now; by default where they were")
    add(
        "--images",
        type=int,
        default=diagnostics.Request.images,
        metavar="N",
        help="images of a split that a costly diagnostic looks at (at most %(default)s)",
    )
    add("--seed", type=int, default=0, help="seed of what is drawn (%(default)s)")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps; by default the best there is")
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status. Raises InputError for bad input."""
    args = build_parser().parse_args(argv)
    request = _request(args)
    output = Path(args.output)
    if args.name == ALL:
        _all(request, output)
    else:
        _one(args.name, request, output)
    from ndcl_domainbed.diagnostics.page import write_page

    print(f"page: {write_page(output)}")
    return 0


def _request(args: argparse.Namespace) -> diagnostics.Request:
    """Return what is asked for; InputError for a folder that does not exist."""
    if args.images < 1:
        raise InputError(f"--images must be at least 1; it was given {args.images}")
    request = diagnostics.Request(
        Path(args.run), tuple(map(Path, args.compare)), args.data_dir, args.device,
        args.seed, args.images,
    )  # fmt: skip
    for folder in request.folders:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}: name the folder of a finished run.")
    return request


def _one(name: str, request: diagnostics.Request, output: Path) -> None:
    """Make one diagnostic, write it and print its caption."""
    diagnostic = diagnostics.get_diagnostic(name)
    from ndcl_domainbed.diagnostics.pictures import require_matplotlib

    require_matplotlib()  # no long wait for an error about a missing package
    found = diagnostic.diagnose(request)
    made = {
        "runs": [str(folder) for folder in request.folders],
        "seed": request.seed,
        "images": request.images,
    }
    paths = found.write(output, name, made)
    print(f"{name}: {found.caption}")
    print("  written: " + ", ".join(map(str, paths)), flush=True)


def _all(request: diagnostics.Request, output: Path) -> None:
    """Make every diagnostic that these runs allow; InputError if there is none."""
    missed = []
    for name in diagnostics.diagnostic_names():
        try:
            _one(name, request, output)
        except InputError as error:
            missed.append(f"{name}: left out, {error}")
    if len(missed) == len(diagnostics.diagnostic_names()):
        raise InputError("\n".join(["none of the diagnostics could be made.", *missed]))
    for line in missed:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    run(main)
