"""The launcher's side of the process that starts jobs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ndcl_domainbed
from ndcl_domainbed.sweeping.jobs import Job

PACKAGE = Path(ndcl_domainbed.__file__).parent

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class ServerDied(Exception):
    """The process that starts jobs has ended by itself; its jobs end as well."""


class JobServer:
    """A process that starts jobs, each in a process of its own with ``threads`` threads."""

    def __init__(self, threads: int) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # its pool starts at import
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        handle = theirs.detach()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ndcl_domainbed.sweeping.job_server", str(handle)],
            env=environment, pass_fds=[handle], stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(handle)
        self._connection = Connection(ours.detach())

    def start(self, key: Any, job: Job, number: int, environment: Mapping[str, str]) -> None:
        """Have ``job`` started as attempt ``number``; its end will be reported under ``key``."""
        try:
            self._connection.send((key, job, number, dict(environment)))
        except BrokenPipeError as error:
            raise ServerDied from error

    def ended(self, timeout: float) -> tuple[Any, int] | None:
        """Wait for the end of a job; return its key and exit status, or None after ``timeout``.

        A negative status is the number of the signal that killed the job. Raises ServerDied.
        """
        try:
            if not self._connection.poll(timeout):
                return None
            key, status = self._connection.recv()
        except (EOFError, ConnectionResetError, BrokenPipeError) as error:
            raise ServerDied from error
        return key, status

    @property
    def runs(self) -> bool:
        """Whether the server can start jobs."""
        return not self._connection.closed and self._process.poll() is None

    def stop(self) -> None:
        """End all jobs, giving them time to save their progress, and the process itself."""
        self._connection.close()
        self._process.wait()
