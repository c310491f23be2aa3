"""How long jobs take, from those of their kind that are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from ndcl_domainbed.run_folder import DONE, PAUSED, State, all_claims
from ndcl_domainbed.sweeping.jobs import Job

Kind = tuple[str, str | None, str, str | None, str]
"""Dataset, setting, algorithm, overrides (``--hparams``) and variants.

Jobs of a kind take about as long: overrides say which network is trained, or that it is frozen.
"""


def kind_of(job: Job) -> Kind:
    """Return the kind of a job."""
    args = job.train_args
    variants = " ".join(args.get("variants") or ())
    return args["dataset"], args.get("imbalance"), args["algorithm"], args.get("hparams"), variants


class Pace:
    """Seconds a step, start and evaluations included, by kind of job."""

    def __init__(self, seconds: Mapping[Kind, float]) -> None:
        self.seconds = dict(seconds)

    def seconds_per_step(self, job: Job) -> float | None:
        """Return the seconds that a step of ``job`` takes, or the mean of all known kinds'."""
        if not self.seconds:
            return None
        mean = sum(self.seconds.values()) / len(self.seconds)
        return self.seconds.get(kind_of(job), mean)

    def knows(self, job: Job) -> bool:
        """Whether a job of this kind has been timed."""
        return kind_of(job) in self.seconds


def pace_of(found: Mapping[Job, State]) -> Pace:
    """Return the pace of the jobs that are done and ran in one go, or with a pause."""
    timed: dict[Kind, list[float]] = defaultdict(list)
    for job, state in found.items():
        if state.name != DONE or state.claim is None:
            continue
        claims = all_claims(job.folder) if state.claim.number else [state.claim]
        if [claim.end and claim.end.outcome for claim in claims] not in ([DONE], [PAUSED, DONE]):
            continue  # also a job that no sweep has finished
        seconds = sum(claim.end.at - claim.since for claim in claims if claim.end)
        if seconds > 0:  # the clock may have been set back in the meantime
            timed[kind_of(job)].append(seconds / job.n_steps)
    return Pace({kind: sum(values) / len(values) for kind, values in timed.items()})
