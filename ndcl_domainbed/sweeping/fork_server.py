"""Processes that start at once: they are forked from a server that has imported torch.

It is :mod:`multiprocessing`'s own fork server, one for this process; it starts with the first job.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import ndcl_domainbed
from ndcl_domainbed.errors import InputError, RunFailure

_PRELOADED = "ndcl_domainbed.sweeping.preloading"
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([_PRELOADED])


def start(
    target: Callable[..., object],
    *args: Any,
    threads: int,
    environment: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Start a process that calls ``target`` with ``threads`` threads, and return it.

    It has this process's environment and more ``environment``. It is in a session of its own, and
    gets SIGTERM when this process ends. Raises OSError or EOFError if the server is dead; the next
    call starts another.
    """
    paths = [str(Path(ndcl_domainbed.__file__).parents[1]), os.environ.get("PYTHONPATH")]
    ours = {
        **os.environ,
        **_thread_variables(threads),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    call = (Path.cwd(), threads, {**ours, **(environment or {})}, target, args)
    process = _context.Process(target=_call, args=call)
    with _as_server_needs(ours):
        process.start()
    return process


def _call(
    folder: Path,
    threads: int,
    environment: dict[str, str],
    target: Callable[..., object],
    args: tuple[Any, ...],
) -> None:
    """Be the process that :func:`start` starts."""
    importlib.import_module(_PRELOADED)  # the server ignores it if it cannot be imported
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(folder)
    _replace_environment(environment)
    use_threads(threads)
    # Loader processes start as in a run without a sweep, not by a fork server of their own.
    multiprocessing.set_start_method(None, force=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    target(*args)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def call(function: Callable[..., object], *args: Any, threads: int) -> None:
    """Call ``function`` in such a process and wait for its end.

    Raises its InputError or RunFailure, and RunFailure if it ended in any other way.
    """
    receiving, sending = _context.Pipe(duplex=False)
    try:
        process = start(_send_error, sending, function, args, threads=threads)
    except EOFError as end:
        raise RunFailure("the fork server ended; see its message above.") from end
    sending.close()
    try:
        error = receiving.recv()
        process.join()
    except EOFError:
        error = RunFailure(f"{function.__module__} broke down; see its message above.")
    finally:
        process.terminate()
        process.join()
    if error is not None:
        raise error


def _send_error(
    sending: Connection, function: Callable[..., object], args: tuple[Any, ...]
) -> None:
    error = None
    try:
        function(*args)
    except (InputError, RunFailure) as raised:
        error = raised
    sending.send(error)


def use_threads(threads: int) -> None:
    """Have this process, and those that it starts, compute with this number of threads."""
    os.environ.update(_thread_variables(threads))
    import torch

    if torch.get_num_threads() != threads:  # it was imported with another number
        torch.set_num_threads(threads)


def _thread_variables(threads: int) -> dict[str, str]:
    values = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {**values, "OPENBLAS_NUM_THREADS": "1"}  # its pool starts at import


@contextmanager
def _as_server_needs(environment: Mapping[str, str]) -> Iterator[None]:
    """Have ``environment`` in the block, for a server that starts in it, and no main module.

    Each process would import the main module again. It may be a script that launches a sweep, and
    would launch it again.
    """
    kept, main = dict(os.environ), sys.modules["__main__"]
    _replace_environment(environment)
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        _replace_environment(kept)


def _replace_environment(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
