"""A job of a sweep: the arguments of one run, and the folder that they name."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imbalance_splits.discovery import own_files
from ndcl_domainbed.own_code import FLAG
from ndcl_domainbed.processes import cores
from ndcl_domainbed.results.labels import dataset_label, row_label
from ndcl_domainbed.results.overrides import read_overrides
from ndcl_domainbed.run_folder import finished_steps, folder_name
from ndcl_domainbed.training.arguments import TrainArguments


@dataclass(frozen=True, eq=False)
class Job:
    """One run. ``train_args`` are its flags without ``output_dir``, which follows from them.

    ``n_steps`` is the number of updates that the run will make. ``free_args`` are flags that do
    not change its results, such as where it computes. ``test_domains`` are the names of the test
    domains. ``own_code`` are the files that define what the flags name, as in the process that
    made the job. ``pauses``: the run does not end after ``n_steps``, but is resumed later. Jobs
    compare by their folders.
    """

    train_args: dict[str, Any]
    folder: Path
    n_steps: int
    free_args: dict[str, Any] = field(default_factory=dict)
    test_domains: list[str] = field(default_factory=list)
    own_code: list[str] = field(default_factory=own_files)
    pauses: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def is_paused(self) -> bool:
        """Whether the run has come to where it pauses, or farther."""
        return self.pauses and finished_steps(self.folder) >= self.n_steps

    def arguments(self) -> TrainArguments:
        """Return the arguments that ``train`` takes."""
        return TrainArguments(**self.flags())

    def flags(self) -> dict[str, Any]:
        """Return all flags of the run."""
        return {**self.train_args, **self.free_args, "output_dir": str(self.folder)}

    def command(self) -> list[str]:
        """Return the command that runs the job by itself, as an argument list."""
        command = [sys.executable, "-m", "ndcl_domainbed.scripts.train"]
        for name, value in sorted(self.flags().items()):
            if value is not False:
                command += [f"--{name}", *_words(value)]
        return command + [word for file in self.own_code for word in (FLAG, file)]

    def row(self) -> tuple[str, str]:
        """Return the row and the data of the job, named as in tables: "NDCL (tau=2)", "PACS/Cross".

        Here every override of ``--hparams`` is named, those that all jobs share too.
        """
        args = self.train_args
        network, others = read_overrides(args["dataset"], args.get("hparams"))
        data = dataset_label(args["dataset"], network)
        data = "/".join(filter(None, (data, args.get("imbalance"))))
        return row_label(args["algorithm"], others), data

    def title(self) -> str:
        """Return dataset, algorithm and so on in a few words."""
        args = self.train_args
        row, data = self.row()
        tests = ",".join(self.test_domains or map(str, args["test_envs"]))
        seeds = f"hparams {args['hparams_seed']} trial {args['trial_seed']}"
        return f"{row} on {data}, test {tests}, {seeds}"


def make_job(
    train_args: dict[str, Any],
    output_dir: str,
    n_steps: int,
    free_args: dict[str, Any] | None = None,
    test_domains: list[str] | None = None,
) -> Job:
    """Return the job that ``train_args`` make in a sweep's ``output_dir``."""
    folder = Path(output_dir) / folder_name(train_args)
    return Job(train_args, folder, n_steps, free_args or {}, test_domains or [])


def _words(value: Any) -> list[str]:
    """Return the words that follow a flag on the command line."""
    if value is True:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def threads_per_job(at_a_time: int) -> int:
    """Return the threads of each of ``at_a_time`` jobs: its cores, at most OMP_NUM_THREADS."""
    share = max(1, cores() // at_a_time)
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(share, max(1, int(limit))) if limit.isdecimal() else share
