"""Train one algorithm on one dataset: DomainBed's flags, plus --imbalance."""

from __future__ import annotations

import argparse

from imbalance_splits.published import find_domains
from ndcl_domainbed.scripts.cli import new_parser, run
from ndcl_domainbed.training.arguments import (
    Role,
    TrainArguments,
    add_flags,
    argument_names,
    plain_path,
)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "train",
        "Train and evaluate one algorithm; records go to OUTPUT_DIR/results.jsonl.",
        usage="%(prog)s [options]",
    )
    add_flags(parser, argument_names(*Role))
    return parser


def main(argv: list[str] | None = None) -> int:
    options = vars(build_parser().parse_args(argv))
    from ndcl_domainbed import backend  # torch: only once there is work for it
    from ndcl_domainbed.training.run import train

    if any(isinstance(env, str) for env in options["test_envs"]):
        dataset = plain_path(options["dataset"])
        names = backend.get_dataset_class(dataset, options["data_dir"]).ENVIRONMENTS
        options["test_envs"] = find_domains(options["test_envs"], dataset, names)
    train(TrainArguments(**options))
    return 0


if __name__ == "__main__":
    run(main)
