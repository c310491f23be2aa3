"""Runs that are killed, at random moments or at each change of a file.

Random moments are drawn in the process's own CPU time: a loaded machine does not change where in
the run they fall. The kernel ends a process whose timer of CPU time runs out as SIGKILL would, in
the middle of whatever it does.
"""

import functools
import io
import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

from ndcl_domainbed.run_folder import RECORDS_FILE
from ndcl_domainbed.training import records
from tests.training.processes import Command

CHANGES = {"os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir"}
"""Names of Python's audit events."""


class Pace(NamedTuple):
    """CPU seconds from the start to the first record, and from one record to the next."""

    first: float
    period: float


def undisturbed(output_dir, *command):
    """Let a run come to its end and return its pace."""
    run = Command(output_dir, *command, before=_note_pace)
    assert run.status() == 0, run.said
    times = [float(line) for line in _times(output_dir).read_text().splitlines()]
    return Pace(times[0], (times[-1] - times[0]) / (len(times) - 1))


def killed_at_random(output_dir, *command, pace, kills, seed):
    """Kill a run ``kills`` times and then let it come to its end.

    Three times in four it is killed up to one and a half periods after a new record, so that it
    gets on, else at any moment from its start on.
    """
    delays = random.Random(seed)
    for attempt in range(kills):
        from_start = attempt % 4 == 0
        longest = 1.5 * pace.period + (pace.first if from_start else 0.0)
        kill = functools.partial(_kill_after, delays.uniform(0.0, longest), from_start)
        run = Command(output_dir, *command, before=kill)
        if run.status() == 0:
            break
        assert run.status() == -signal.SIGPROF, run.said
    last = Command(output_dir, *command)
    assert last.status() == 0, last.said


def killed_at_each_change(folder, *command):
    """Yield folders of runs that were killed at their first change of a file, at their second, …

    and then came to their end, as long as there is such a change.
    """
    for number in itertools.count(1):
        output_dir = folder / str(number)
        run = Command(output_dir, *command, before=functools.partial(_kill_at_change, number))
        if run.status() == 0:
            return
        assert run.status() == -signal.SIGKILL, run.said
        again = Command(output_dir, *command)
        assert again.status() == 0, again.said
        yield output_dir


def _times(output_dir):
    return Path(output_dir).with_suffix(".times")


def _after_each_record(action):
    append = records.append

    def append_and_act(path, record):
        append(path, record)
        if path.name == RECORDS_FILE:
            action()

    records.append = append_and_act


def _note_pace(output_dir):
    started = time.process_time()

    def note():
        with _times(output_dir).open("a") as file:
            file.write(f"{time.process_time() - started}\n")

    _after_each_record(note)


def _kill_after(seconds, from_start, _output_dir):
    """Have this process killed some seconds from now, or from its first record on."""
    timers = iter([max(seconds, 1e-6)])  # 0 would be no timer

    def start():
        for timer in timers:
            signal.setitimer(signal.ITIMER_PROF, timer)

    start() if from_start else _after_each_record(start)


def _kill_at_change(number, output_dir):
    """Kill this process when it changes a file in ``output_dir`` for the n-th time.

    That is right before the change but for a file that is opened: that is empty then. A record is
    written in two halves.
    """
    changes = itertools.count(1)
    folder = f"{output_dir}{os.sep}"

    def count(path):
        if str(path).startswith(folder) and next(changes) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def see(event, arguments):
        if event in CHANGES:
            count(arguments[0])

    opened, write = io.open, os.write

    def open_and_count(path, mode="r", *more, **options):
        file = opened(path, mode, *more, **options)
        if mode[0] in "wa":
            count(path)
        return file

    halves = itertools.cycle([2, 1])

    def write_half(handle, content):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.suffix != ".jsonl":
            return write(handle, content)
        count(path)
        return write(handle, content[: len(content) // next(halves)])

    sys.addaudithook(see)
    io.open, os.write = open_and_count, write_half
