"""The folder of a sweep: that it can be written, and ``jobs.jsonl``, which says what its jobs are.

So ``status`` need not be told.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping.jobs import Job, make_job

FILE_NAME = "jobs.jsonl"


def record(jobs: Iterable[Job], output_dir: str) -> None:
    """Add those of ``jobs`` that the manifest lacks, in one write at its end.

    Raises InputError if the folder or the file cannot be written.
    """
    check_writable(Path(output_dir))
    known = {job.folder.name for job in recorded(output_dir)}
    lines = [
        json.dumps({"steps": job.n_steps, "args": job.train_args}, sort_keys=True)
        for job in jobs
        if job.folder.name not in known
    ]
    if not lines:
        return
    text = "\n".join(["", *lines, ""])  # begins with a line end: the last write may be torn
    path = Path(output_dir) / FILE_NAME
    try:
        with path.open("ab") as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}.\nOnce it can be written, launch again."
        ) from error


def recorded(output_dir: str) -> list[Job]:
    """Return the jobs of all launches into ``output_dir``, each once; torn lines are skipped."""
    jobs: dict[str, Job] = {}
    try:
        lines = (Path(output_dir) / FILE_NAME).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            content = json.loads(line)
            job = make_job(content["args"], output_dir, content["steps"])
        except (ValueError, KeyError, TypeError):
            continue
        jobs.setdefault(job.folder.name, job)
    return list(jobs.values())


def check_writable(folder: Path) -> None:
    """Make ``folder`` if it is missing; raise InputError if nothing can be written to it."""
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("x" * 4096)
    except OSError as error:
        raise InputError(f"cannot write to --output_dir {folder}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
