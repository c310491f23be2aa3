"""The commands of the README and the guide, run in order, do what the text says."""

import pytest

from tests.command_line import call
from tests.docs.commands import PAGES, files, steps
from tests.docs.workspaces import AFTER_A_SWEEP, add_finished_run, add_finished_sweep

REPEATED = {"results.md"}
"""Pages whose only command to run is on another page, too."""

RUN = [
    page
    for page in PAGES
    if page.name not in REPEATED
    and any(not c.why_not_run for step in steps(page) for c in step.commands)
]


def type_in(page):
    """Run the commands of a page in order; compare what they print with what the page shows."""
    for step in steps(page):
        outcome = None
        for command in step.commands:
            if not command.why_not_run:
                name, arguments = command.shortened().ours
                outcome = call(name, *arguments)
                assert outcome.status == 0, f"{command.line}\n{outcome.out}\n{outcome.err}"
        if step.printed is not None:
            assert outcome is not None
            assert outcome.out.strip().splitlines() == step.printed.strip().splitlines()


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_what_the_page_says_to_write_and_type(page, workspace, monkeypatch):
    monkeypatch.setenv("NDCL_OWN_CODE", "")  # so that the files are forgotten afterwards
    if page.name in AFTER_A_SWEEP:
        add_finished_sweep(workspace)
    if page.name == "predict.md":
        add_finished_run(workspace)
    for name, content in files(page).items():
        (workspace / name).write_text(content)
    type_in(page)
