"""Lines that show how far long work is, so that no silence lasts long."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TextIO

SILENCE = 10.0
"""Seconds without a line after which one is printed."""


class ProgressLine:
    """Prints how much is done and the time to go, once nothing was printed for a while.

    From one such line to the next it takes ``growth`` times as long, until something else is
    printed (:meth:`note_output`).
    """

    def __init__(self, title: str, growth: float = 1.0, file: TextIO | None = None) -> None:
        self.title, self.growth, self.file = title, growth, file
        self.start()

    def start(self, first: int = 0) -> None:
        """Note that work begins now, with ``first`` done before."""
        self.first, self.started = first, time.monotonic()
        self.note_output()

    def note_output(self) -> None:
        """Note that something else was printed."""
        self.printed, self.wait = time.monotonic(), SILENCE

    def __call__(self, done: int, total: int, what: str = "images") -> None:
        """Print that ``done`` of ``total`` are done, if it is time for a line."""
        now = time.monotonic()
        if now - self.printed >= self.wait:
            self.write(done, total, what)
            self.printed, self.wait = now, self.wait * self.growth

    def write(self, done: int, total: int, what: str = "images") -> None:
        """Print that ``done`` of ``total`` are done."""
        pace = (done - self.first) / max(time.monotonic() - self.started, 1e-9)
        line = f"{self.title}: {done:,} of {total:,} {what}"
        if pace:
            line += f" ({pace:.3g}/s)"
            if done < total:
                line += f", {timedelta(seconds=round((total - done) / pace))} to go"
        print(line, file=self.file, flush=True)
