"""The Python examples of the README and the guide run as they stand."""

import os
import subprocess
import sys

import pytest

from tests.docs.commands import PAGES, ROOT, blocks, files
from tests.docs.workspaces import add_features, add_finished_run, add_finished_sweep

NEEDED = {
    '"sweep"': add_finished_sweep,
    "data/features": add_features,
    "run_on_faces": add_finished_run,
}
"""What an example needs, by a name that it mentions."""

EXAMPLES = [
    pytest.param(
        page.name,
        text,
        id=f"{page.name}-{number}",
        marks=[pytest.mark.domainbed] if "attach" in text else [],
    )
    for page in PAGES
    for number, (language, text) in enumerate(blocks(page))
    if language == "python" and text not in files(page).values()
]
"""Those that are files are written and used by tests/docs/test_running.py."""


@pytest.mark.parametrize(("page", "example"), EXAMPLES)
def test_the_example_runs(page, example, workspace, capsys):
    if "attach" in example:  # it must come before any other import of the package
        subprocess.run(
            [sys.executable, "-c", example], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        return
    for name, add in NEEDED.items():
        if name in example:
            add(workspace)
    exec(compile(example, page, "exec"), {"__name__": "__main__"})
    assert "print(" not in example or capsys.readouterr().out.strip()
