"""What a run shows: lines that go to the terminal and to its log files, and its progress."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.run_folder import ERR_FILE, OUT_FILE
from ndcl_domainbed.training.files import writing
from ndcl_domainbed.training.stopping import Stopped, StoppedAtOnce

COLUMN_WIDTH = 12


class Tee:
    """A text stream that writes to another stream and, as well, to the end of a file.

    Both methods raise RunFailure if the file cannot be written.
    """

    def __init__(self, stream: TextIO, path: Path) -> None:
        self.stream = stream
        self.path = path
        self.file = path.open("a", encoding="utf-8")

    def write(self, text: str) -> int:
        """Write ``text`` to both."""
        self.stream.write(text)
        with writing(self.path, "any longer"):
            return self.file.write(text)

    def flush(self) -> None:
        """Flush both."""
        self.stream.flush()
        with writing(self.path, "any longer"):
            self.file.flush()

    def close(self, last_words: str = "") -> None:
        """Write ``last_words`` to the file alone, if it can be written, and close it."""
        with suppress(OSError):
            self.file.write(last_words)
        with suppress(OSError):
            self.file.close()

    def isatty(self) -> bool:
        """Never a terminal: half of it is a file."""
        return False


def make_folder(name: str) -> Path:
    """Return the folder ``name``, made if need be. Raises InputError if it cannot be written."""
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OUT_FILE).open("a").close()
    except OSError as error:
        raise InputError(f"cannot write to the output folder {folder}: {error.strerror}") from error
    return folder


@contextmanager
def logged_to(folder: Path) -> Iterator[None]:
    """Copy standard output to ``out.txt`` and standard error to ``err.txt`` in ``folder``.

    An exception that leaves the block is described at the end of ``err.txt``, its last line
    saying what went wrong; without one, what was there before goes.
    """
    kept = sys.stdout, sys.stderr
    out, err = Tee(sys.stdout, folder / OUT_FILE), Tee(sys.stderr, folder / ERR_FILE)
    old_errors = err.path.stat().st_size
    sys.stdout, sys.stderr = out, err
    last_words = ""
    try:
        yield
        out.flush()
        err.flush()
        _cut_start(err.path, old_errors)
    except Stopped:
        raise
    except StoppedAtOnce as leaving:
        print(leaving.message, file=err, flush=True)
        raise
    except (InputError, RunFailure) as error:
        last_words = f"error: {error}\n"
        raise
    except BaseException:
        last_words = traceback.format_exc()
        raise
    finally:
        sys.stdout, sys.stderr = kept
        out.close()
        err.close(last_words)


def _cut_start(path: Path, size: int) -> None:
    """Remove the first ``size`` bytes of a file that others may have open to append."""
    with suppress(OSError), path.open("r+b") as file:
        file.seek(size)
        rest = file.read()
        file.seek(0)
        file.write(rest)
        file.truncate()


@contextmanager
def progress(title: str, first_step: int, steps: int) -> Iterator[Callable[[], None]]:
    """Show a bar with the time to go while the block runs, if standard error is a terminal.

    Yields a function to call after each step.
    """
    terminal = sys.__stderr__
    if terminal is None or not terminal.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    bar = Progress(
        "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(file=terminal), transient=True, redirect_stdout=False,
        redirect_stderr=False,
    )  # fmt: skip
    with bar:
        task = bar.add_task(title, total=steps, completed=first_step)
        yield lambda: bar.advance(task)


def shown_columns(record: dict[str, Any]) -> list[str]:
    """Return which values of a record a printed row shows: numbers, without the shot groups."""
    return [
        name
        for name, value in sorted(record.items())
        if isinstance(value, int | float) and not name.endswith(("many", "median", "few", "zero"))
    ]


def row(values: list[Any]) -> str:
    """Return one line of columns, each ``COLUMN_WIDTH`` wide.

    >>> row(["step", 0.5])
    'step          0.5000000000'
    """
    cells = [f"{value:.10f}" if isinstance(value, float) else str(value) for value in values]
    return "  ".join(f"{cell:<{COLUMN_WIDTH}.{COLUMN_WIDTH}}" for cell in cells).rstrip()
