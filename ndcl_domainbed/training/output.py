"""What a run prints, to the terminal and its log files, and what it says if it cannot write."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.progress import ProgressLine
from ndcl_domainbed.run_folder import ERR_FILE, OUT_FILE
from ndcl_domainbed.training.stopping import Stopped

COLUMN_WIDTH = 12


@contextmanager
def report_write_errors(path: Path, when: str) -> Iterator[None]:
    """Raise RunFailure, with ``path`` and ``when``, if the block cannot write the file.

    For writing that leaves what was there before as it was.
    """
    try:
        yield
    except OSError as error:
        raise RunFailure(
            f"cannot write {path} {when}: {error.strerror or error}.\n"
            "What was written before is kept: once the file can be written, start again to resume."
        ) from error


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
        with report_write_errors(self.path, "any longer"):
            return self.file.write(text)

    def flush(self) -> None:
        """Flush both."""
        self.stream.flush()
        with report_write_errors(self.path, "any longer"):
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
    if not name.strip():
        raise InputError("--output_dir is empty: name the folder of the run")
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
    except Stopped as leaving:
        if leaving.at_once:
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


class ProgressDisplay:
    """Shows how far a run is: a bar on a terminal, else a line after a long silence.

    A context manager.
    """

    def __init__(self, title: str, first_step: int, steps: int) -> None:
        self._steps = steps
        self._of_steps = ProgressLine(title, growth=1.5)
        self._of_images = ProgressLine(f"{title}, evaluation", growth=1.5)
        self._of_steps.start(first_step)
        self._bar: Any = None
        terminal = sys.__stderr__
        if terminal is not None and terminal.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

            self._bar = Progress(
                "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                console=Console(file=terminal), transient=True, redirect_stdout=False,
                redirect_stderr=False,
            )  # fmt: skip
            self._task = self._bar.add_task(title, total=steps, completed=first_step)
            self._title = title

    def __enter__(self) -> ProgressDisplay:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show_step(self, step: int) -> None:
        """Show that the update of ``step`` is made."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step + 1, description=self._title)
        else:
            self._of_steps(step + 1, self._steps, "steps")

    def show_evaluation(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` images are evaluated."""
        if self._bar is not None:
            share = f"{self._title}, {done / total:.0%} evaluated"
            self._bar.update(self._task, description=share)
        else:
            self._of_images(done, total)

    def note_output(self) -> None:
        """Note that something else was printed."""
        self._of_steps.note_output()

    def start_evaluation(self) -> None:
        """Note that an evaluation begins."""
        self._of_images.start()


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
