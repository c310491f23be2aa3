"""Leaving in good order when a signal asks for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

REPEATED = 3.0
"""Seconds in which another signal is the same request.

Schedulers send one to a whole group of processes, and so does the one that started this run.
"""


class Stopped(SystemExit):
    """A run that was asked to stop has saved its progress after ``step`` and leaves.

    The exit status is what a shell gives for the signal: 143 for SIGTERM, 130 for SIGINT.
    """

    def __init__(self, number: int, step: int) -> None:
        super().__init__(128 + number)
        name = signal.Signals(number).name
        self.message = f"stopped by {name} after step {step}; start again to resume."


class StoppedAtOnce(SystemExit):
    """A run was asked a second time to stop: it leaves as it is, its files as after a kill.

    The exit status is that of :class:`Stopped`.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        name = signal.Signals(number).name
        self.message = f"stopped by {name} at once; start again to resume from the last save."


class StopRequested(Exception):
    """The signal ``signal`` came during work that can be done again."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class StopRequest:
    """Within the block a first SIGINT or SIGTERM is noted in ``signal`` and nothing else.

    A second one raises StoppedAtOnce wherever the run is, for its step may never end; if that
    becomes another error on its way, as it does in torch.save, it leaves the block as it was. Two
    interrupts are two whenever they come; else a signal within ``REPEATED`` seconds of the first
    is the same request. Outside the main thread, where signals cannot be caught, and for those
    that are ignored, nothing changes.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._noted = 0.0
        self._leaving: StoppedAtOnce | None = None
        self._kept: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._kept[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)
        if self._leaving is not None and error not in (None, self._leaving):
            raise self._leaving from error

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._noted = number, time.monotonic()
            # print() must not be used here: the signal may have come in the middle of one.
            os.write(2, b"finishing the step; a second signal leaves at once\n")
        elif number == self.signal == signal.SIGINT or time.monotonic() - self._noted >= REPEATED:
            self._leaving = StoppedAtOnce(number)
            raise self._leaving

    def check(self) -> None:
        """Raise StopRequested if a signal has come."""
        if self.signal is not None:
            raise StopRequested(self.signal)


def leave_signals_to_parent(_worker: int = 0) -> None:
    """Have this loader process ignore the signals: the run decides when it is no longer needed.

    A signal to a whole process group would otherwise end it in the middle of a step.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
