"""Calls the console command inside the test's process, as a user's shell would see it."""

import contextlib
import io
from typing import NamedTuple

from ndcl_domainbed.scripts.cli import dispatch, run


class Outcome(NamedTuple):
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


def call(*argv: object) -> Outcome:
    """Run ``ndcl-domainbed`` with the arguments ``argv``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run(dispatch, [str(argument) for argument in argv])
        except SystemExit as leaving:
            status = leaving.code
    return Outcome(int(status or 0), out.getvalue(), err.getvalue())
