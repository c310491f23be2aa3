"""Every command in the README and the guide is one that the command line accepts."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from ndcl_domainbed.scripts.cli import COMMANDS
from ndcl_domainbed.sweeping import flags

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
START = re.compile(r"^(?:ndcl-domainbed|python -m ndcl_domainbed\.scripts\.)\s*(\w+)(.*)$")


def _commands():
    """Return (page, command, arguments) of all commands in shell blocks."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:sh|bash)?\n(.*?)```", page.read_text(), flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                match = START.match(line.strip().removeprefix("NDCL_BACKEND=domainbed "))
                if match and match[1] in COMMANDS:
                    arguments = shlex.split(match[2], comments=True)
                    if "..." not in arguments and "…" not in arguments:
                        found.append((page.name, match[1], arguments))
    return found


@pytest.mark.parametrize(("page", "command", "arguments"), _commands())
def test_the_command_line_accepts_it(page, command, arguments):
    if command == "sweep":
        flags.parse([part for part in arguments if part != "--watch"])
        return
    parser = importlib.import_module(f"ndcl_domainbed.scripts.{command}").build_parser()
    assert isinstance(parser.parse_args(arguments), argparse.Namespace)


def test_there_are_commands_to_check():
    assert {"train", "sweep", "collect_results", "splits"} <= {name for _, name, _ in _commands()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
