"""Where and how the jobs of a sweep run: a launcher is one file of this package.

Its name is the name of the file. It has a docstring, whose first line is shown in the help,
``add_flags(group)``, which adds its own flags to the command line, and ``launch(jobs, options)``,
which starts the jobs and tells whether they have ended. One that starts none has ``STARTS_JOBS =
False``: then nobody is asked before. Importing a launcher must be cheap: what it needs, it imports
when it starts.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from argparse import Namespace, _ArgumentGroup
from collections.abc import Sequence
from typing import Protocol, cast

from ndcl_domainbed.errors import unknown_name
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


@functools.cache
def launchers() -> dict[str, Launcher]:
    """Return all launchers by name, sorted."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__))
    return {name: cast(Launcher, importlib.import_module(f"{__name__}.{name}")) for name in names}


def get_launcher(name: str) -> Launcher:
    """Return the launcher called ``name``; InputError if there is none."""
    if name not in launchers():
        raise unknown_name("launcher", name, launchers())
    return launchers()[name]
