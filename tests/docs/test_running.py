"""The commands of the README and the guide do what the text says, typed in order as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.command_line import Outcome, call
from tests.docs.commands import PAGES, steps
from tests.docs.workspaces import (
    AFTER_A_SWEEP,
    IN_A_CHECKOUT,
    add_finished_sweep,
    copy_checkout,
    furnish,
)

FILE = re.compile(r"`([\w/]+\.py)`:\n\n```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)

RUN = [page for page in PAGES if any(not c.why_not_run for s in steps(page) for c in s.commands)]


def in_this_process(command):
    """Run one of our commands."""
    name, arguments = command.ours
    return call(name, *arguments)


def in_the_checkout(command):
    """Run a command in a process of its own, on the packages in the working directory."""
    line = re.sub(r"^ndcl-domainbed", "python -m ndcl_domainbed", command.line)
    words = [sys.executable, *shlex.split(line)[1:]]
    assert line.startswith("python "), line
    made = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": "."}
    )
    return Outcome(made.returncode, made.stdout, made.stderr)


def type_in(page, runner):
    """Run the commands of a page in order; compare what they print with what the page shows."""
    for step in steps(page):
        outcome = None
        for command in step.commands:
            if not command.why_not_run:
                outcome = runner(command.shortened())
                assert outcome.status == 0, f"{command.line}\n{outcome.out}\n{outcome.err}"
        if step.printed is not None:
            assert outcome is not None
            assert outcome.out.strip().splitlines() == step.printed.strip().splitlines()


@pytest.mark.parametrize(
    "page", [p for p in RUN if p.name not in IN_A_CHECKOUT], ids=lambda page: page.name
)
def test_what_the_page_says_to_type(page, workspace):
    if page.name in AFTER_A_SWEEP:
        add_finished_sweep(workspace)
    type_in(page, in_this_process)


@pytest.mark.parametrize(
    "page", [p for p in RUN if p.name in IN_A_CHECKOUT], ids=lambda page: page.name
)
def test_what_the_page_says_to_write_and_type(page, tmp_path, data, monkeypatch):
    copy_checkout(tmp_path)
    furnish(tmp_path, data)
    monkeypatch.chdir(tmp_path)
    files = FILE.findall(page.read_text(encoding="utf-8"))
    assert files
    for name, content in files:
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(content)
    type_in(page, in_the_checkout)
