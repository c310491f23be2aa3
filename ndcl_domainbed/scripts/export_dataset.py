"""Write a dataset that this package makes as image folders, or show it in one picture."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from imbalance_splits.errors import InputError
from ndcl_domainbed.scripts.cli import new_parser, run
from ndcl_domainbed.training.arguments import DEFAULT_DATA_DIR


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("export_dataset", __doc__)
    add = parser.add_argument
    add("dataset", help="for example DigitsDG")
    add("--data_dir", default=DEFAULT_DATA_DIR, help="folder of the datasets (%(default)s)")
    add("--output", metavar="FOLDER", help="write FOLDER/domain/class/image")
    add("--format", choices=("png", "jpeg"), default="png",
        help="png keeps every pixel, jpeg does not (%(default)s)")  # fmt: skip
    add("--picture", metavar="FILE", help="write a picture: domains in rows, classes in columns")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    if args.output is None and args.picture is None:
        raise InputError("nothing to write: name a folder with --output or a file with --picture.")
    from ndcl_domainbed.testbed.datasets import get_dataset_class
    from ndcl_domainbed.testbed.datasets.images.export import export_folders

    dataset = get_dataset_class(args.dataset, args.data_dir)
    classes, domains = dataset.pixels(args.data_dir)
    if args.output is not None:
        export_folders(domains, classes, Path(args.output), args.format)
        total = sum(len(labels) for _, labels in domains.values())
        print(f"wrote {total:,} images of {', '.join(domains)} to {args.output}")
    if args.picture is not None:
        from ndcl_domainbed.testbed.datasets.digits.contact_sheet import contact_sheet

        try:
            contact_sheet(domains).save(args.picture)
        except (OSError, ValueError) as error:  # ValueError: Pillow knows no format of this suffix
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot write {args.picture} ({reason}).") from error
        print(f"wrote {args.picture}")
    return 0


if __name__ == "__main__":
    run(main)
