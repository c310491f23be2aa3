"""Every command in the README and the guide is one that its program accepts."""

import argparse
import configparser
import importlib
import re
import runpy
import shlex
import subprocess
import sys

import pytest

from ndcl_domainbed.scripts.cli import COMMANDS
from ndcl_domainbed.sweeping import flags
from tests.docs.commands import NOT_RUN, PAGES, ROOT, SHORTENED, Command, all_commands

EVERY = all_commands()
OURS = [
    command
    for command in EVERY
    if command.ours and command.ours[0] in COMMANDS and "--own_code" not in command.line
]
"""Those with a file that the page has the reader write are run by test_running."""


def accept(name, arguments):
    """Parse a command of ours; leave with an error if it would not be accepted."""
    if name == "sweep":
        flags.parse(arguments)
        return
    parser = importlib.import_module(f"ndcl_domainbed.scripts.{name}").build_parser()
    assert isinstance(parser.parse_args(arguments), argparse.Namespace)


@pytest.fixture
def at_home(monkeypatch):
    """Work where sweeps/ is."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("command", OURS, ids=lambda command: f"{command.page}: {command.line}")
def test_the_command_line_accepts_it(command, at_home):
    accept(*command.ours)


def test_there_are_commands_to_check():
    assert {"train", "sweep", "collect_results", "splits"} <= {one.ours[0] for one in OURS}


@pytest.mark.parametrize("start", [start for start, _ in NOT_RUN + SHORTENED])
def test_every_exception_is_still_needed(start):
    assert any(command.line.startswith(start) for command in EVERY)


class Accepted(Exception):
    """The arguments were parsed."""


BENCHMARKS = sorted({one.line for one in EVERY if one.line.startswith("python -m benchmarks.")})


@pytest.mark.parametrize("line", BENCHMARKS)
def test_benchmarks_take_their_flags(line, monkeypatch):
    _, _, module, *arguments = shlex.split(line)
    parse_args = argparse.ArgumentParser.parse_args

    def parsed(parser, *given):
        parse_args(parser, *given)
        raise Accepted

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(Accepted):
        runpy.run_module(module, run_name="__main__")


def test_the_extras_exist():
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    installed = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = re.findall(r"pip install (?:--editable )?'[\w.-]*\[([\w,]+)\]'", installed)
    assert named
    for extras in named:
        for extra in extras.split(","):
            assert extra in setup["options.extras_require"], extra


@pytest.mark.parametrize(
    "target", sorted({c.line.split()[1] for c in EVERY if c.line.startswith("make ")})
)
def test_make_starts_commands_that_are_accepted(target, at_home):
    made = subprocess.run(
        ["make", "--dry-run", target], capture_output=True, text=True, check=True, cwd=ROOT
    )
    lines = made.stdout.replace("\\\n", " ").splitlines()
    programs = [shlex.split(line) or [""] for line in lines]
    ours = [words for program, *words in programs if program.endswith("/ndcl-domainbed")]
    assert ours or target != "demo"
    for arguments in ours:
        accept(*Command("Makefile", shlex.join(["ndcl-domainbed", *arguments])).ours)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
