"""Shows how far a step of a download is, with its pace and the time to go."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, "int | None"], None]
"""Called with what is done so far and with the whole, None if that is not known."""

SECONDS_PER_LINE = 60.0  # how often a log file gets the state of a bar


@contextmanager
def show_progress(title: str, unit: str = "B") -> Iterator[Report]:
    """Show a bar on standard error while the block runs; ``unit`` is B (bytes) or what counts."""
    tqdm = importlib.import_module("tqdm").tqdm
    every = 0.1 if sys.stderr.isatty() else SECONDS_PER_LINE
    with tqdm(
        desc=title, unit=unit, unit_scale=unit == "B", delay=every,
        mininterval=every, maxinterval=every, leave=False,
    ) as bar:  # fmt: skip

        def report(done: int, total: int | None) -> None:
            if bar.total is None and done:  # what an earlier run brought says nothing of the pace
                bar.initial = bar.n = bar.last_print_n = done
            bar.total = total
            bar.update(done - bar.n)

        yield report
