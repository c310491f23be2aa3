"""Shows how far a long reading has come, on a terminal; silent in files and notebooks."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from ndcl_domainbed.results.folders import RunFile

FROM_BYTES = 100 * 2**20
"""A smaller amount is read before one would look at a bar."""


def shown(files: Sequence[RunFile]) -> Iterator[RunFile]:
    """Yield ``files``, with a bar on standard error that has the time to go."""
    total = sum(file.size for file in files)
    if total < FROM_BYTES or not sys.stderr.isatty():
        yield from files
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        "reading runs", BarColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task("", total=total)
        for file in files:
            yield file
            bar.advance(task, file.size)
