"""Draws that cannot win stop early: one rung of successive halving.

The runs of a group differ in their draw of hyper-parameters alone. All of them run up to the rung,
an evaluation after a share of their steps, and pause. Those that validate best until then resume,
and the others are stopped (Jamieson and Talwalkar, "Non-stochastic best arm identification and
hyperparameter optimization", AISTATS 2016). Who resumes follows from the records up to the rung, so
every launch into the folder decides alike, also after a kill.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import random
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.run_folder import DONE, FAILED, RUNNING, STOPPED, WAITING, State
from ndcl_domainbed.sweeping import claims, states
from ndcl_domainbed.sweeping.flags import SHARE
from ndcl_domainbed.sweeping.grid import dataset_class, usual_length
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.sweeping.launchers import Launcher, launchers


@dataclass(frozen=True)
class Group:
    """Draws that compete: after ``n_steps`` updates the ``keep`` best of them resume."""

    draws: list[Job]
    n_steps: int
    keep: int

    def pausing_draws(self) -> dict[Job, Job]:
        """Return the draws as jobs that pause at the rung."""
        return {
            job: dataclasses.replace(job, n_steps=self.n_steps, pauses=True) for job in self.draws
        }

    def split(self) -> tuple[list[Job], list[Job]]:
        """Return the draws that resume, and those to stop; none before all are at the rung.

        A draw that failed before does not compete. Raises InputError if the records have no
        validation accuracy.
        """
        from ndcl_domainbed.results.reading import read_sweep  # pandas: not for --help
        from ndcl_domainbed.results.selection import rank_draws

        there = {
            str(job.folder.resolve()): job
            for job, paused in self.pausing_draws().items()
            if paused.is_paused()
        }
        missing = [job for job in self.draws if job not in there.values()]
        if not there or any(states.read_state(job.folder).name != FAILED for job in missing):
            return [], []
        ranked = rank_draws(read_sweep(list(there)).frame(), self.n_steps - 1)
        if not ranked:
            raise InputError(
                f"--stop_early: the records of {self.draws[0].title()} have no accuracy on a "
                "validation split of every source, by which draws are compared."
            )
        best = ranked[: self.keep]
        return [there[name] for name in best], [there[n] for n in there if n not in best]

    def stop_others(self) -> list[Job]:
        """Mark the draws that do not resume as stopped; return those that do."""
        kept, others = self.split()
        for job in others:
            state = states.read_state(job.folder)
            if state.name not in (WAITING, FAILED):
                continue
            claim = claims.take(job.folder, state.next_attempt)
            if claim is not None:
                claim.finish(
                    STOPPED,
                    f"after step {self.n_steps - 1} not among the best {self.keep} of "
                    f"{len(self.draws)} draws",
                )
        return kept


def group_draws(jobs: Sequence[Job], options: Namespace) -> list[Group]:
    """Return the groups of ``jobs`` with draws to stop; none without ``--stop_early``.

    Raises InputError for a launcher that cannot pause jobs, for runs with two test domains, whose
    selection needs every draw, and for runs without an evaluation between the rung and their end.
    """
    if options.stop_early is None:
        return []
    _check_launcher(options.command_launcher)
    alike: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if len(job.train_args["test_envs"]) > 1:
            raise InputError(
                "--stop_early needs --single_test_envs: leave-one-domain-out selection takes "
                "every draw of the pairs of test domains."
            )
        args = {k: v for k, v in job.train_args.items() if k not in ("hparams_seed", "seed")}
        alike[json.dumps(args, sort_keys=True)].append(job)
    read = functools.cache(dataset_class)  # to make the class of a folder is to list it
    groups = []
    for draws in alike.values():
        args = draws[0].train_args
        keep = _count_kept(options.keep_draws, len(draws))
        if keep < len(draws):
            data = read(args["dataset"], args["data_dir"])
            every = args.get("checkpoint_freq") or usual_length(args, data)[1]
            rung = rung_steps(options.stop_early, draws[0].n_steps, every)
            if rung == draws[0].n_steps:
                raise InputError(
                    f"--stop_early {options.stop_early:g}: {draws[0].title()} is not evaluated "
                    "between then and its last step; set --checkpoint_freq lower."
                )
            groups.append(Group(draws, rung, keep))
    return groups


def _check_launcher(name: str) -> None:
    able = [other for other, one in launchers().items() if getattr(one, "CAN_PAUSE", False)]
    if name not in able:
        raise InputError(
            f"--stop_early needs a launcher that waits for paused jobs: {', '.join(able)}; "
            f"{name} does not."
        )


def _count_kept(keep: float | None, n_draws: int) -> int:
    """Return how many of ``n_draws`` resume: ``keep`` of them, or this share if it is below 1.

    >>> _count_kept(None, 12), _count_kept(0.25, 2), _count_kept(5, 12)
    (3, 1, 5)
    """
    keep = SHARE if keep is None else keep
    return int(keep) if keep >= 1 else math.ceil(round(keep * n_draws, 9))


def rung_steps(share: float, n_steps: int, checkpoint_freq: int) -> int:
    """Return the updates at the rung: the first evaluation after that share, the one at 0 left out.

    >>> rung_steps(0.25, 301, 50), rung_steps(0.5, 40, 10), rung_steps(0.9, 301, 300)
    (101, 21, 301)
    """
    evaluations = max(1, math.ceil(round((share * n_steps - 1) / checkpoint_freq, 9)))
    return min(evaluations * checkpoint_freq + 1, n_steps)


def describe(groups: Sequence[Group]) -> list[str]:
    """Return what will be stopped where, each kind of group once."""
    return list(
        dict.fromkeys(
            f"Of {len(group.draws)} draws the best {group.keep} resume after step "
            f"{group.n_steps - 1}; the others are stopped."
            for group in groups
        )
    )


def find_settled(groups: Sequence[Group], found: Mapping[Job, State]) -> set[Job]:
    """Return the draws that an earlier launch has stopped, and that do not resume now either."""
    settled = set()
    for group in groups:
        stopped = {
            job
            for job, paused in group.pausing_draws().items()
            if found[job].name == STOPPED and paused.is_paused()  # not at an earlier rung
        }
        settled |= stopped.difference(group.split()[0] if stopped else ())
    return settled


def launch(
    launcher: Launcher, jobs: Sequence[Job], groups: Sequence[Group], options: Namespace
) -> bool:
    """Launch ``jobs``, those of ``groups`` up to the rung; then stop draws and launch the others.

    Returns whether the launcher waited for their end.
    """
    pausing = {job: one for group in groups for job, one in group.pausing_draws().items()}
    elsewhere = [
        job for job in pausing.keys() - set(jobs)
        if states.read_state(job.folder).name == RUNNING
    ]  # fmt: skip
    is_over = launcher.launch([pausing.get(job, job) for job in [*jobs, *elsewhere]], options)
    if not groups:
        return is_over
    kept = [job for group in groups for job in group.stop_others()]
    resuming = [job for job in kept if states.read_state(job.folder).name != DONE]
    if resuming:
        print(f"{len(resuming)} of {len(pausing)} draws resume.")
        random.Random(options.seed).shuffle(resuming)
        launcher.launch(resuming, options)
    return is_over
