"""Which jobs wait or run in Slurm's queue, so that they are not submitted twice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ndcl_domainbed.errors import RunFailure
from ndcl_domainbed.sweeping.jobs import Job

FOLDER = "slurm"
"""Sub-folder of the sweep's folder for Slurm's output and for what was submitted."""

FILE_NAME = "submitted.jsonl"

PATIENCE = 60
"""Seconds in which Slurm must answer."""

MAX_FAILURES = 20
"""How often in a row Slurm may not answer one who watches."""


class NoAnswer(Exception):
    """Slurm did not show its queue; the message says why."""


class SlurmQueue:
    """Slurm's queue by its last answer, for one who asks again and again."""

    def __init__(self) -> None:
        self._tasks: set[str] = set()
        self._failures = 0

    def look(self, jobs: Sequence[Job]) -> tuple[int, bool]:
        """Return how many of ``jobs`` are in the queue, and whether there is reason to ask again.

        There is, too, if Slurm does not answer. Raises RunFailure once that has happened more than
        ``MAX_FAILURES`` times in a row.
        """
        noted = _tasks_of(jobs)
        if not noted:
            return 0, False
        self._ask()
        count = sum(not self._tasks.isdisjoint(tasks) for tasks in noted.values())
        return count, bool(count or self._failures)

    def _ask(self) -> None:
        try:
            self._tasks = tasks_in_queue()
            self._failures = 0
        except NoAnswer as error:
            self._failures += 1
            message = f"Slurm does not show its queue: {error}"
            if self._failures > MAX_FAILURES:
                raise RunFailure(f"{message}\nIt was asked {self._failures} times.") from error
            if self._failures == 1:
                print(message, file=sys.stderr, flush=True)


def folder_of(jobs: Sequence[Job]) -> Path:
    """Return the folder that a sweep with ``jobs`` has for what concerns Slurm."""
    return jobs[0].folder.parent / FOLDER


def note(submitted: Mapping[str, Sequence[Job]]) -> None:
    """Note which jobs each task has, by the task's id."""
    folder = folder_of([job for jobs in submitted.values() for job in jobs])
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"task": task, "jobs": [job.folder.name for job in jobs]})
        for task, jobs in submitted.items()
    ]
    with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write("\n".join(["", *lines, ""]))


def select_unqueued(jobs: Sequence[Job]) -> list[Job]:
    """Return those of ``jobs``, all of one sweep, that no task in Slurm's queue has.

    Raises NoAnswer if that is not known.
    """
    noted = _tasks_of(jobs)
    alive = tasks_in_queue() if noted else set()
    return [job for job in jobs if alive.isdisjoint(noted.get(job, ()))]


def _tasks_of(jobs: Sequence[Job]) -> dict[Job, set[str]]:
    """Return the ids of the tasks that were ever submitted with each of ``jobs``, if any."""
    path = folder_of(jobs) / FILE_NAME if jobs else None
    if path is None or not path.exists():
        return {}
    by_name = {job.folder.name: job for job in jobs}
    tasks: dict[Job, set[str]] = defaultdict(set)
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            noted = json.loads(line)
            for name in by_name.keys() & set(noted["jobs"]):
                tasks[by_name[name]].add(noted["task"])
        except (ValueError, KeyError, TypeError):  # a torn line: claims keep its jobs apart
            continue
    return tasks


def tasks_in_queue() -> set[str]:
    """Return the ids of the user's tasks that wait or run; none where there is no Slurm.

    Raises NoAnswer.
    """
    return set(_ask("squeue", "--me", "--noheader", "--array", "--format=%i").split())


def max_array_size() -> int:
    """Return how many tasks an array may have, as far as Slurm says so."""
    try:
        answer = _ask("scontrol", "show", "config")
    except NoAnswer:
        return sys.maxsize
    limits = re.findall(r"^(?:MaxArraySize|MaxJobCount)\s*=\s*(\d+)", answer, re.MULTILINE)
    return max(1, min(map(int, limits), default=sys.maxsize))


def _ask(*command: str) -> str:
    """Return what a command of Slurm's prints; nothing where there is no Slurm. Raises NoAnswer."""
    name = command[0]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except FileNotFoundError:
        return ""
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"{name} took longer than {PATIENCE} seconds.") from error
    except OSError as error:
        raise NoAnswer(f"{name} cannot be run ({error.strerror}).") from error
    if answer.returncode:
        reason = " ".join(answer.stderr.split()) or "no message"
        raise NoAnswer(f"{name} ended with exit status {answer.returncode} ({reason}).")
    return answer.stdout
