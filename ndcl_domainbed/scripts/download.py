"""Download a published dataset, put it in DomainBed's folder layout, and check every image."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ndcl_domainbed.scripts.cli import run
from ndcl_domainbed.training.arguments import DEFAULT_DATA_DIR

if TYPE_CHECKING:
    from ndcl_domainbed.downloading.downloaders import Patience
    from ndcl_domainbed.downloading.recipe import Recipe
    from ndcl_domainbed.downloading.view import View


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="ndcl-domainbed download", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add("--dataset", required=True, metavar="NAME",
        help="PACS, VLCS, OfficeHome, DomainNet or TerraIncognita")  # fmt: skip
    add("--data_dir", default=DEFAULT_DATA_DIR, metavar="DIR",
        help="folder of the datasets (%(default)s)")  # fmt: skip
    add("--force", action="store_true", help="replace the dataset if it is there already")
    add("--not_from", nargs="+", default=[], metavar="TEXT",
        help="leave out the addresses that contain TEXT, for example google.com")  # fmt: skip
    return parser


def main(
    argv: Sequence[str] | None = None,
    recipes: Mapping[str, Recipe] | None = None,
    patience: Patience | None = None,
) -> int:
    """Run the command; status 1 if something is wrong with the images.

    ``recipes`` takes the place of the known datasets, ``patience`` of the usual waiting times.
    Raises InputError for bad input, and if no address gives the dataset.
    """
    args = build_parser().parse_args(argv)
    from ndcl_domainbed.downloading import get_recipe
    from ndcl_domainbed.downloading.errors import disk_errors_as_input_errors
    from ndcl_domainbed.downloading.obtaining import is_there, obtain
    from ndcl_domainbed.downloading.view import view_for_here

    recipe, data_dir = get_recipe(args.dataset, recipes), Path(args.data_dir)
    view = view_for_here()
    with disk_errors_as_input_errors(data_dir):
        there = is_there(recipe, data_dir)
    if there and not args.force:
        view.say(
            f"{data_dir / recipe.folder} is there already and was left alone.\n"
            f"`ndcl-domainbed splits verify {recipe.dataset} --data_dir {data_dir}` checks it, "
            "--force downloads it again."
        )
        return 0
    _introduce(recipe, view)
    place = obtain(
        recipe, data_dir, view, force=args.force, leave_out=args.not_from, patience=patience
    )
    return _verify(recipe, place, view)


def _introduce(recipe: Recipe, view: View) -> None:
    """Show what the dataset is, what may be done with it, and what to cite."""
    view.say(f"{recipe.dataset}: {recipe.summary}")
    view.say(f"terms: {recipe.terms}")
    view.say(f"cite:  {recipe.paper}")


def _verify(recipe: Recipe, place: Path, view: View) -> int:
    """Count and decode the images, and show what is wrong."""
    from imbalance_splits.published import published_datasets
    from imbalance_splits.verify import verify_folder

    published = recipe.dataset if recipe.dataset in published_datasets() else None
    with view.progress("decoding", "images") as report:
        found = verify_folder(place, published, report, known=True)
    for line in found.problems:
        view.say(line)
    for line in [*found.notes, *([recipe.note] if recipe.note else [])]:
        view.say(f"note: {line}")
    view.say(f"{place}: {found.summary(compared=published is not None)}")
    return 1 if found.problems else 0


if __name__ == "__main__":
    run(main)
