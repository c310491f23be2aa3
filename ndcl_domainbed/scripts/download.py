"""Download a published dataset and check every image, or the weights of pretrained networks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.scripts.cli import new_parser, run
from ndcl_domainbed.training.arguments import DEFAULT_DATA_DIR


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("download", __doc__)
    add = parser.add_argument
    add("--dataset", metavar="NAME",
        help="PACS, VLCS, OfficeHome, Office31, OfficeCaltech10, DomainNet or "
        "TerraIncognita")  # fmt: skip
    add("--data_dir", default=DEFAULT_DATA_DIR, metavar="DIR",
        help="folder of the datasets (%(default)s)")  # fmt: skip
    add("--force", action="store_true", help="replace the dataset if it is there already")
    add("--not_from", nargs="+", default=[], metavar="TEXT",
        help="leave out the addresses that contain TEXT, for example google.com")  # fmt: skip
    add("--weights", nargs="+", default=[], metavar="NETWORK",
        help="fetch ImageNet weights for jobs without internet access: resnet18, resnet50, "
        "resnet50_augmix (the default network), timm:NAME or dinov2_vitb14")  # fmt: skip
    add("--weights_dir", metavar="DIR",
        help="keep the weights below DIR, not in the libraries' caches (~/.cache)")  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; status 1 if something is wrong with the images.

    Raises InputError for bad input, and if no address gives the dataset or the weights.
    """
    args = build_parser().parse_args(argv)
    if args.dataset is None and not args.weights:
        raise InputError("name a --dataset or the networks whose --weights to download.")
    if args.weights:
        _download_weights(args.weights, args.weights_dir)
    return _download_dataset(args) if args.dataset is not None else 0


def _download_weights(networks: Sequence[str], folder: str | None) -> None:
    """Have the libraries keep the weights, and show how a job finds them."""
    cache = Path(folder or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve()
    for variable, library in (("TORCH_HOME", "torch"), ("HF_HOME", "huggingface")):
        if folder is not None or not os.environ.get(variable):
            os.environ[variable] = str(cache / library)
    from ndcl_domainbed.testbed.networks.pretrained import download_weights  # reads the variables

    for network in networks:
        print(f"{network}: {download_weights(network)}", flush=True)
    who = "Jobs of the same user find them; others do" if folder is None else "Jobs find them"
    places = " ".join(f"{name}={os.environ[name]}" for name in ("TORCH_HOME", "HF_HOME"))
    print(f"{who} with: export {places}")


def _download_dataset(args: argparse.Namespace) -> int:
    from imbalance_splits.published import published_datasets
    from imbalance_splits.verify import verify_folder
    from ndcl_domainbed.downloading import get_recipe
    from ndcl_domainbed.downloading.obtaining import is_there, obtain
    from ndcl_domainbed.downloading.progress import show_progress

    recipe, data_dir = get_recipe(args.dataset), Path(args.data_dir)
    if is_there(recipe, data_dir) and not args.force:
        print(
            f"{data_dir / recipe.folder} is there already and was left alone.\n"
            f"`ndcl-domainbed splits verify {recipe.dataset} --data_dir {data_dir}` checks it, "
            "--force downloads it again."
        )
        return 0
    print(f"{recipe.dataset}: {recipe.summary}")
    print(f"terms: {recipe.terms}")
    print(f"cite:  {recipe.paper}")
    place = obtain(recipe, data_dir, force=args.force, leave_out=args.not_from)
    published = recipe.dataset if recipe.dataset in published_datasets() else None
    with show_progress("decoding", "images") as report:
        found = verify_folder(place, published, report, known=True)
    notes = [*found.notes, *filter(None, [recipe.note])]
    for line in [*found.problems, *(f"note: {note}" for note in notes)]:
        print(line)
    print(f"{place}: {found.summary(compared=published is not None)}")
    return 1 if found.problems else 0


if __name__ == "__main__":
    run(main)
