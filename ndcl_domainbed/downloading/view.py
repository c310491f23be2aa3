"""What a download shows: bars with the time to go on a terminal, a few lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

Report = Callable[[int, "int | None"], None]
"""Called with what is done so far and with the whole, None if that is not known."""


class View(Protocol):
    """What the steps of a download report to."""

    def say(self, line: str) -> None:
        """Show one line."""

    def progress(self, what: str, unit: str = "bytes") -> AbstractContextManager[Report]:
        """Show how far a step is while the block runs; ``unit`` is bytes or a plural noun."""


def amount(number: float, unit: str = "bytes") -> str:
    """Return a number of bytes or of things, as a person would say it.

    >>> amount(174_167_459)
    '174.2 MB'
    >>> amount(9991, "images")
    '9,991 images'
    """
    if unit != "bytes":
        return f"{number:,.0f} {unit}"
    for size, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= size:
            return f"{number / size:.1f} {name}"
    return f"{number:.0f} bytes"


def time_to_go(seconds: float) -> str:
    """Return a span of time in its largest unit.

    >>> time_to_go(4000), time_to_go(150), time_to_go(8)
    ('1.1 h', '2 min', '8 s')
    """
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


class PlainView:
    """Lines for a log file: one every ``every`` seconds at most while a step runs."""

    def __init__(self, every: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock

    def say(self, line: str) -> None:
        """Print the line."""
        print(line, flush=True)

    @contextmanager
    def progress(self, what: str, unit: str = "bytes") -> Iterator[Report]:
        """Print how far a step is, and the time to go at its pace so far."""
        begun = shown = self._clock()
        first: int | None = None

        def report(done: int, total: int | None) -> None:
            nonlocal shown, first
            now = self._clock()
            first = done if first is None else min(first, done)
            if now - shown < self._every:
                return
            shown = now
            line = f"{what}: {amount(done, unit)}"
            if total is not None:
                line += f" of {amount(total, unit)}"
                if done > first:
                    seconds = (now - begun) / (done - first) * (total - done)
                    line += f", {time_to_go(seconds)} to go"
            self.say(line)

        yield report


class TerminalView:
    """A bar for the step that runs, which vanishes at its end."""

    def __init__(self, console: Any) -> None:
        self._console = console

    def say(self, line: str) -> None:
        """Print the line."""
        print(line, flush=True)

    @contextmanager
    def progress(self, what: str, unit: str = "bytes") -> Iterator[Report]:
        """Show a bar with what is done, its pace and the time to go."""
        from rich import progress

        counts: tuple[progress.ProgressColumn, ...] = (progress.MofNCompleteColumn(),)
        if unit == "bytes":
            counts = (progress.DownloadColumn(), progress.TransferSpeedColumn())
        columns = (
            progress.TextColumn("{task.description}"), progress.BarColumn(), *counts,
            progress.TimeRemainingColumn(),
        )  # fmt: skip
        with progress.Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            begun = False

            def report(done: int, total: int | None) -> None:
                nonlocal begun
                if begun:
                    bar.update(task, completed=done, total=total)
                else:  # what an earlier run brought says nothing of the pace
                    bar.reset(task, completed=done, total=total)
                begun = True

            yield report


def view_for_here() -> View:
    """Return the view that suits standard error: bars if it is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    return TerminalView(console) if console.is_terminal else PlainView()
