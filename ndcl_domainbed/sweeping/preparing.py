"""What a launch makes once, so that its jobs do not each wait for it."""

from __future__ import annotations

from collections.abc import Iterable

from ndcl_domainbed.hparams import is_frozen
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.training.arguments import TrainArguments


def prepare_features(jobs: Iterable[Job]) -> None:
    """Compute the frozen features that the jobs train on, unless they are there.

    Raises InputError if that fails.
    """
    needed: dict[tuple[str | None, ...], TrainArguments] = {}
    for job in jobs:
        args = job.arguments()
        if is_frozen(args.hparam_overrides()):
            key = (args.dataset, args.data_dir, args.feature_cache, args.hparams)
            needed.setdefault(key, args)
    if not needed:
        return
    from ndcl_domainbed.training import preparation  # torch: only for frozen features

    for args in needed.values():
        preparation.prepare_features(args)
