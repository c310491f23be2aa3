"""A Python that has imported a DomainBed checkout, and forks a process for each command.

The import takes seconds; a fork takes none, and is as good as a new interpreter.
"""

import json
import os
import runpy
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
ATTACH = ("-m", "ndcl_domainbed.attach")
TRAIN = (*ATTACH, "domainbed.scripts.train")
LIMIT = 300.0
"""Seconds after which a command counts as hanging: far more than any takes."""


class Outcome(NamedTuple):
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


def cold(arguments, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a new ``python`` that knows of no checkout but through ``environment``."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DOMAINBED_HOME", "NDCL_BACKEND")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        cwd=cwd, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


class WarmPython:
    """Runs ``python -m …`` and ``python -c …`` with the backend ``domainbed``.

    ``home`` is the checkout, ``scratch`` a folder for what the commands print.
    """

    def __init__(self, home: Path, scratch: Path) -> None:
        self.home = home
        self.scratch = scratch
        self.server: subprocess.Popen | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment of a user who works with the checkout ``home``."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        ours = {"NDCL_BACKEND": "domainbed", "DOMAINBED_HOME": str(self.home), "PYTHONPATH": path}
        return {**os.environ, **ours, "OMP_NUM_THREADS": "1"}

    def run(self, *arguments: object, cwd: Path | None = None) -> Outcome:
        """Run ``python`` with ``arguments`` in the folder ``cwd``."""
        if self.server is None:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "tests.domainbed.warm_python"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment(), cwd=ROOT,
                start_new_session=True,
            )  # fmt: skip
        out, err = self.scratch / "out", self.scratch / "err"
        request = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd or self.scratch), "out": str(out), "err": str(err),
        }  # fmt: skip
        self.server.stdin.write(json.dumps(request).encode() + b"\n")
        self.server.stdin.flush()
        if not select.select([self.server.stdout], [], [], LIMIT)[0]:
            self.close()
            raise TimeoutError(f"{arguments} runs for {LIMIT} s: {err.read_text()[-1000:]}")
        answer = self.server.stdout.readline()
        assert answer, "the interpreter died"
        return Outcome(int(answer), out.read_text(), err.read_text())

    def close(self) -> None:
        """End the interpreter, and a command that hangs."""
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
            self.server = None


def _serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _be_python(**request)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _be_python(arguments: list[str], cwd: str, out: str, err: str) -> None:
    """Be a new interpreter that was started with ``arguments``; does not return."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    sys.path.insert(0, cwd)
    status = 0
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = ["-c", *arguments[2:]]
            exec(compile(arguments[1], "<command>", "exec"), {"__name__": "__main__"})
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    import ndcl_domainbed.backend

    assert ndcl_domainbed.backend.NAME == "domainbed"
    _serve()
