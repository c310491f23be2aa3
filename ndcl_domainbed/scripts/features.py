"""Compute the features that a frozen network makes of a dataset, and say how to load them."""

from __future__ import annotations

import argparse
import json

from ndcl_domainbed.scripts.cli import new_parser, run
from ndcl_domainbed.training.arguments import DEFAULT_DATA_DIR, TrainArguments, parse_hparams


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "features",
        "Compute the features that a frozen network makes of every image of a "
        "dataset. Runs with the hyper-parameter frozen compute them too, if they are missing.",
    )
    add = parser.add_argument
    add("--dataset", required=True, metavar="NAME", help="a dataset, or a folder or list of images")
    add("--data_dir", default=DEFAULT_DATA_DIR, help="folder of the datasets (%(default)s)")
    add("--hparams", metavar="JSON",
        help="backbone, weights, image_size, views, view_augmentation, pretrained")  # fmt: skip
    add("--feature_cache", metavar="DIR",
        help="folder for the features (default: features in --data_dir)")  # fmt: skip
    add("--device", help="such as cpu or cuda (default: CUDA where there is one, else the CPU)")
    return parser


def main(argv: list[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    hparams = {**parse_hparams(options.hparams), "frozen": True}
    arguments = TrainArguments(
        dataset=options.dataset,
        data_dir=options.data_dir,
        hparams=json.dumps(hparams),
        feature_cache=options.feature_cache,
        device=options.device,
    )
    from ndcl_domainbed.training.preparation import prepare_features  # torch: only now

    dataset = prepare_features(arguments)
    info, folder = dataset.feature_info or {}, dataset.folder
    count, views, width = info["images"], 1 + info["views"], info["width"]
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(
        f"{folder}: {count:,} images, {views} views each (the first is plain), {width} numbers "
        f"a view; {megabytes:.0f} MB.\n"
        "Load them in Python:\n"
        "    import numpy as np\n"
        f"    folder = {str(folder)!r}\n"
        "    x, y, files = (np.load(f'{folder}/{name}.npy') "
        "for name in ('features', 'labels', 'files'))"
    )
    return 0


if __name__ == "__main__":
    run(main)
