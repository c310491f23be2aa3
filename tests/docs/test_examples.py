"""The Python examples of the README and the guide run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.docs.commands import PAGES, ROOT, blocks
from tests.docs.workspaces import AFTER_A_SWEEP, IN_A_CHECKOUT, add_finished_sweep

EXAMPLES = [
    pytest.param(
        page.name,
        text,
        id=f"{page.name}-{number}",
        marks=[pytest.mark.domainbed] if "attach" in text else [],
    )
    for page in PAGES
    if page.name not in IN_A_CHECKOUT
    for number, (language, text) in enumerate(blocks(page))
    if language == "python"
]
"""Those in a checkout are files, which tests/docs/test_running.py puts in their places."""


@pytest.mark.parametrize(("page", "example"), EXAMPLES)
def test_the_example_runs(page, example, workspace, capsys):
    if "attach" in example:  # it must come before any other import of the package
        subprocess.run(
            [sys.executable, "-c", example], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        return
    if page in AFTER_A_SWEEP:
        add_finished_sweep(workspace)
    exec(compile(example, page, "exec"), {"__name__": "__main__"})
    assert "print(" not in example or capsys.readouterr().out.strip()
