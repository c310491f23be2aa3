"""Commands in processes of their own, forked from one that has imported torch already."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import time
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.training.warm"])


class Command:
    """A running ``ndcl-domainbed`` command; ``said`` is what it printed, on both streams."""

    def __init__(self, output_dir, *argv, before=None):
        """Start it; ``before`` is called first in its process, with ``output_dir``."""
        self.output_dir = Path(output_dir)
        self._printed = self.output_dir.with_name(f"{self.output_dir.name}.printed")
        words = [*map(str, argv), "--output_dir", str(output_dir)]
        self.process = _CONTEXT.Process(target=_run, args=(words, self._printed, before))
        self.process.start()

    @property
    def said(self):
        return self._printed.read_text()

    def status(self):
        """Wait for the end and return the exit status, negative for a signal."""
        self.process.join(120)
        assert self.process.exitcode is not None, f"it hangs: {self.said}"
        return self.process.exitcode

    def wait_until(self, condition):
        """Return when ``condition()`` is true; fail if the process ends before."""
        while not condition():
            assert self.process.exitcode is None, self.said
            time.sleep(0.001)

    def records_size(self):
        path = self.output_dir / "results.jsonl"
        return path.stat().st_size if path.exists() else 0


def _run(words, printed, before):
    handle = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for number in (1, 2):
        os.dup2(handle, number)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    if before is not None:
        before(Path(words[-1]))
    cli = importlib.import_module("ndcl_domainbed.scripts.cli")
    cli.run(cli.dispatch, words)
