"""Train one algorithm on one dataset: DomainBed's flags, plus --imbalance."""

from __future__ import annotations

import argparse

from ndcl_domainbed.own_code import add_flag
from ndcl_domainbed.training.arguments import (
    LOGS,
    NO_IMBALANCE,
    PRECISIONS,
    TASKS,
    TrainArguments,
    setting_named,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="ndcl-domainbed train",
        usage="%(prog)s [options]",
        description="Train and evaluate one algorithm; records go to OUTPUT_DIR/results.jsonl.",
        allow_abbrev=False,
    )
    add_flag(parser)
    defaults = TrainArguments()
    _add_run(parser, defaults)
    _add_manner(parser, defaults)
    return parser


def _add_run(parser: argparse.ArgumentParser, defaults: TrainArguments) -> None:
    """Add what a run is a function of: data, algorithm, seeds, length."""
    add = parser.add_argument
    add("--data_dir", default=defaults.data_dir, help="folder of the datasets (%(default)s)")
    add("--dataset", default=defaults.dataset,
        help="a name, or a domain/class/image folder (%(default)s)")  # fmt: skip
    add("--algorithm", default=defaults.algorithm, help="for example NDCL (%(default)s)")
    add("--imbalance", metavar="SETTING", type=setting_named,
        help=f"a setting such as TotalHeavyTail, or a table file ({NO_IMBALANCE})")  # fmt: skip
    add("--task", default=defaults.task, choices=TASKS)
    add("--hparams", metavar="JSON", help="hyper-parameters that override the registry's")
    add("--hparams_seed", type=int, default=0, help="0: default values (0); else seed of the draw")
    add("--trial_seed", type=int, default=0, help="seed of the splits and of the draw (0)")
    add("--seed", type=int, default=0, help="seed of everything else (0)")
    add("--steps", type=int, help="number of updates (default: the dataset's)")
    add("--checkpoint_freq", type=int, metavar="N", help="evaluate every N steps")
    add("--eval_images", type=int, metavar="N",
        help="for a trial: evaluate N images of each split, and not at step 0")  # fmt: skip
    add("--test_envs", "--test_env", type=int, nargs="+", default=[0], metavar="ENV",
        help="indices of the domains to leave out and test on (0)")  # fmt: skip
    add("--holdout_fraction", type=float, default=defaults.holdout_fraction, metavar="SHARE",
        help="of a domain, held out on an ordinary split (%(default)s)")  # fmt: skip
    add("--uda_holdout_fraction", type=float, default=0.0, metavar="SHARE",
        help="share of the test domain to train on without labels")  # fmt: skip


def _add_manner(parser: argparse.ArgumentParser, defaults: TrainArguments) -> None:
    """Add where and how it is computed, and what is kept of it."""
    add = parser.add_argument
    add("--output_dir", default=defaults.output_dir, help="folder of the run (%(default)s)")
    add("--skip_model_save", action="store_true", help="keep no model.pkl")
    add("--save_model_every_checkpoint", action="store_true",
        help="keep the model of every evaluation too, not only that of the end")  # fmt: skip
    add("--device", help="cpu, cuda, cuda:1, mps (default: CUDA where there is one, else the CPU)")
    add("--num_workers", type=int, help="loader processes (default: what the cores can feed)")
    add("--no_resume", action="store_true", help="start over instead of resuming")
    add("--keep_resume", action="store_true", help="keep the resume file when the run is done")
    add("--precision", default=defaults.precision, metavar="NAME",
        help=f"of the networks: {' or '.join(PRECISIONS)} (%(default)s)")  # fmt: skip
    add(
        "--compile",
        action="store_true",
        help="compile the network, and NDCL's losses, with torch.compile",
    )
    add("--feature_cache", metavar="DIR",
        help="keep frozen features there (default: features in --data_dir)")  # fmt: skip
    add("--log", metavar="KIND", help=f"log losses and accuracies as well to: {', '.join(LOGS)}")
    add("--diagnostics", action="store_true",
        help="record gradients and prototypes by class, for the command diagnose")  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = TrainArguments(**vars(build_parser().parse_args(argv)))
    from ndcl_domainbed.training.run import train  # torch: only once there is work for it

    train(arguments)
    return 0


if __name__ == "__main__":
    from ndcl_domainbed.scripts.cli import run

    run(main)
