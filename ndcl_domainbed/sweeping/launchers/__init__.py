"""Where and how the jobs of a sweep run: a launcher is one module.

It is a file of this package, a module of an installed package that the entry points
'ndcl_domainbed.launchers' name, or a file named by :data:`~imbalance_splits.discovery.OWN_CODE`
that defines ``launch``. Its name is the name of the file. It has a docstring, whose first line is
shown in the help, ``add_flags(group)``, which adds its own flags to the command line, and
``launch(jobs, options)``, which starts the jobs and tells whether they have ended. One that starts
none has ``STARTS_JOBS = False``: then nobody is asked before. One that waits, and runs jobs by
:func:`~ndcl_domainbed.sweeping.running.run_jobs`, may have ``CAN_PAUSE = True``: then
``--stop_early`` goes with it. Importing a launcher must be cheap:
what it needs, it imports when it starts.
"""

from __future__ import annotations

from argparse import Namespace, _ArgumentGroup
from collections.abc import Sequence
from typing import Any, Protocol

from imbalance_splits.discovery import cached, find_modules
from ndcl_domainbed.errors import InputError, unknown_name
from ndcl_domainbed.sweeping.jobs import Job


class Launcher(Protocol):
    """What a module of this package offers."""

    __doc__: str | None

    def add_flags(self, group: _ArgumentGroup) -> None:
        """Add the launcher's own flags."""

    def launch(self, jobs: Sequence[Job], options: Namespace) -> bool:
        """Start ``jobs``; return whether it waited for their end.

        ``options`` holds all flags of the sweep.
        """


@cached
def launchers() -> dict[str, Launcher]:
    """Return all launchers by name, sorted. Raises InputError for one that lacks something."""
    found: dict[str, Any] = {}
    for name, source in find_modules(__name__, "launchers", "launch").items():
        module = found[name] = source.load()
        for function in ("launch", "add_flags"):
            if not callable(getattr(module, function, None)):
                raise InputError(f"{source.place}: a launcher needs a function {function}().")
    return found


def get_launcher(name: str) -> Launcher:
    """Return the launcher called ``name``; InputError if there is none."""
    if name not in launchers():
        raise unknown_name("launcher", name, launchers())
    return launchers()[name]
