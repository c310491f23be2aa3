"""Commands in processes of their own, forked from one that has imported torch already."""

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

from ndcl_domainbed.training import checkpoints

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.warm"])

LIMIT = 120.0
"""Seconds after which a command counts as hanging: far more than any takes."""

NOBODY = 65534
"""The user without rights."""


class Command:
    """A running ``ndcl-domainbed`` command that writes to ``output_dir``."""

    def __init__(self, output_dir, *argv, before=None):
        """Start it; ``before`` is called first in its process, with ``output_dir``."""
        self.output_dir = Path(output_dir)
        words = [*map(str, argv), "--output_dir", str(output_dir)]
        self._reader, writer = CONTEXT.Pipe(duplex=False)
        self._printed = []
        self.process = CONTEXT.Process(target=_run, args=(words, writer, before))
        self.process.start()
        writer.close()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while content := os.read(self._reader.fileno(), 65536):
            self._printed.append(content)

    @property
    def said(self):
        """What it has printed, on both streams."""
        return b"".join(self._printed).decode()

    def status(self):
        """Wait for the end and return the exit status, negative for a signal."""
        self.process.join(LIMIT)
        assert self.process.exitcode is not None, f"it hangs: {self.said}"
        if self.process.exitcode >= 0:  # loader processes of a killed one may hold the pipe on
            self._thread.join(LIMIT)
        return self.process.exitcode

    def kill(self):
        """Kill it and wait for its end."""
        self.process.kill()
        self.process.join(LIMIT)

    def wait_until(self, condition):
        """Return when ``condition()`` is true; fail if the process ends before, or hangs."""
        given_up = time.monotonic() + LIMIT
        while not condition():
            assert self.process.exitcode is None, self.said
            assert time.monotonic() < given_up, f"it hangs: {self.said}"
            time.sleep(0.001)

    def records_size(self):
        """Return the size of ``results.jsonl``."""
        path = self.output_dir / "results.jsonl"
        return path.stat().st_size if path.exists() else 0


def be_nobody(_output_dir):
    """Give up the rights of the super-user, who may write everywhere."""
    os.setuid(NOBODY)


def _run(words, writer, before):
    # A process has one fork server: a sweep launched by an earlier test has it ignore signals.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in (1, 2):
        os.dup2(writer.fileno(), number)
    writer.close()
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    # A process of a fork server would start loader processes through one of its own.
    multiprocessing.set_start_method("fork", force=True)
    checkpoints.SAVE_SECONDS = 0.0  # so that a kill, which comes early, finds a resume file
    if before is not None:
        before(Path(words[-1]))
    cli = importlib.import_module("ndcl_domainbed.scripts.cli")
    cli.run(cli.dispatch, words)
