"""Stopping in good order when SIGINT or SIGTERM asks for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

REPEATED = 3.0
"""Seconds in which another signal is the same request: a scheduler signals a whole process group,
and so does the process that started this one."""


class Stopped(SystemExit):
    """A run stops as asked; the exit status is a shell's: 143 for SIGTERM, 130 for SIGINT.

    ``step`` is the last one in the resume file; None for a run that leaves at once, in the middle
    of a step, its files as after a kill.
    """

    def __init__(self, number: int, step: int | None = None) -> None:
        super().__init__(128 + number)
        self.at_once = step is None
        when = "at once" if self.at_once else f"after step {step}"
        rest = " from the last save" if self.at_once else ""
        name = signal.Signals(number).name
        self.message = f"stopped by {name} {when}; start again to resume{rest}."


class StopRequest:
    """Within the block, a first SIGINT or SIGTERM is only noted, in ``signal``.

    A second one raises Stopped wherever the run is, for its step may never end. Two interrupts are
    two whenever they come; any other signal within ``REPEATED`` seconds of the first is the same
    request. Ignored signals stay ignored, and outside the main thread nothing changes.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._noted = 0.0
        self._leaving: Stopped | None = None
        self._replaced: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._replaced[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> None:
        for number, handler in self._replaced.items():
            signal.signal(number, handler)
        if self._leaving is not None and error not in (None, self._leaving):
            raise self._leaving from error  # torch.save replaces what is raised within it

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._noted = number, time.monotonic()
            # not print(): the signal may have come in the middle of one
            os.write(2, b"finishing the step; a second signal leaves at once\n")
        elif number == self.signal == signal.SIGINT or time.monotonic() - self._noted >= REPEATED:
            self._leaving = Stopped(number)
            raise self._leaving


def ignore_signals(_worker: int = 0) -> None:
    """Have this loader process ignore the signals: the run decides when it ends.

    A signal to the whole process group would otherwise end it in the middle of a step.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
