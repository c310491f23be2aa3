"""The folder of a sweep: that it can be written, and ``jobs.jsonl``, which says what its jobs are.

So ``status`` needs no flags.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.run_folder import JOBS_FILE, folder_name
from ndcl_domainbed.sweeping.jobs import Job, make_job
from ndcl_domainbed.training.arguments import plain_path


def record_jobs(jobs: Iterable[Job], output_dir: str) -> None:
    """Add those of ``jobs`` that the manifest lacks, in one write at its end.

    Raises InputError if the folder or the file cannot be written.
    """
    check_writable(Path(output_dir))
    known = {job.folder.name for job in read_jobs(output_dir)}
    lines = [
        json.dumps(
            {"steps": job.n_steps, "args": job.train_args, "test_domains": job.test_domains},
            sort_keys=True,
        )
        for job in jobs
        if job.folder.name not in known
    ]
    if not lines:
        return
    text = "\n".join(["", *lines, ""])  # begins with a line end: the last write may be torn
    path = Path(output_dir) / JOBS_FILE
    try:
        with path.open("ab") as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}.\nOnce it can be written, launch again."
        ) from error


def read_jobs(output_dir: str) -> list[Job]:
    """Return the jobs of all launches into ``output_dir``, each once; torn lines are skipped."""
    jobs: dict[str, Job] = {}
    try:
        lines = (Path(output_dir) / JOBS_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"cannot read the jobs in {output_dir}: {error.strerror}.") from error
    for line in lines:
        try:
            content = json.loads(line)
            domains = content.get("test_domains")
            job = make_job(content["args"], output_dir, content["steps"], test_domains=domains)
        except (ValueError, KeyError, TypeError):
            continue
        jobs.setdefault(job.folder.name, job)
    return list(jobs.values())


def keep_known_folders(jobs: Sequence[Job], output_dir: str) -> list[Job]:
    """Return ``jobs``, with the folders of those that were launched with another ``data_dir``.

    DomainBed's name of a folder depends on ``data_dir``, though a run does not: ``data/`` is the
    same as ``data``, and data may be moved. A launch that names both has jobs of its own for each.
    """
    known = read_jobs(output_dir)
    names = {job.folder.name for job in known}
    given = {job.folder.name for job in jobs}
    others = {_without_data_dir(job): job for job in known if job.folder.name not in given}
    placed: list[Job] = []
    for job in jobs:
        earlier = None if job.folder.name in names else others.pop(_without_data_dir(job), None)
        placed.append(dataclasses.replace(job, folder=earlier.folder) if earlier else job)
    return placed


def _without_data_dir(job: Job) -> str:
    """Return a name for the arguments of ``job`` but ``data_dir``, however paths are spelled."""
    paths = {k: plain_path(job.train_args[k]) for k in ("dataset", "imbalance")
             if job.train_args.get(k)}  # fmt: skip
    return folder_name({**job.train_args, **paths, "data_dir": None})


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
