"""Which jobs wait or run in Slurm's queue, so that they are not submitted twice."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ndcl_domainbed.sweeping.jobs import Job

FOLDER = "slurm"
"""Sub-folder of the sweep's folder for Slurm's output and for what was submitted."""

FILE_NAME = "submitted.jsonl"


def note(submitted: Mapping[str, Sequence[Job]], folder: Path) -> None:
    """Note which jobs each task has, by the task's id."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"task": task, "jobs": [job.folder.name for job in jobs]})
        for task, jobs in submitted.items()
    ]
    with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write("\n".join(["", *lines, ""]))


def not_queued(jobs: Sequence[Job]) -> list[Job]:
    """Return those of ``jobs``, all of one sweep, that no task in Slurm's queue has."""
    path = jobs[0].folder.parent / FOLDER / FILE_NAME if jobs else None
    if path is None or not path.exists():
        return list(jobs)
    alive = tasks_in_queue()
    taken: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            noted = json.loads(line)
            taken |= set(noted["jobs"]) if noted["task"] in alive else set()
        except (ValueError, KeyError, TypeError):  # a torn line: claims keep its jobs apart
            continue
    return [job for job in jobs if job.folder.name not in taken]


def tasks_in_queue() -> set[str]:
    """Return the ids of the user's tasks that wait or run; none if Slurm does not answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return set()
    return set(answer.stdout.split())
