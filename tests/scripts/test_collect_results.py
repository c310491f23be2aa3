"""The command as a user runs it, against DomainBed's own tables among others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ndcl_domainbed.scripts import collect_results
from tests.results.builder import random_sweep

DOMAINBED_HOME = os.environ.get("DOMAINBED_HOME", "")
needs_domainbed = pytest.mark.skipif(
    not DOMAINBED_HOME, reason="DOMAINBED_HOME does not name a checkout"
)


def collected(capsys, *argv) -> str:
    assert collect_results.main([str(part) for part in argv]) == 0
    return capsys.readouterr().out


def table_lines(text: str) -> list[str]:
    """Return the lines of the tables, without trailing blanks and without our notes below them."""
    lines = [line.rstrip() for line in text.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("--------"))
    return [line for line in lines[start:] if line and not line.startswith("  ")]


@pytest.mark.domainbed
@needs_domainbed
def test_the_tables_of_the_sweep_that_domainbed_ships(capsys):
    misc = Path(DOMAINBED_HOME) / "domainbed" / "misc"
    expected = (misc / "test_sweep_results.txt").read_text()
    text = collected(capsys, "--input_dir", misc / "test_sweep_data")
    assert text.startswith("Total records: 200\n")
    assert table_lines(text) == table_lines(expected)


@pytest.mark.domainbed
@needs_domainbed
def test_the_tables_that_domainbed_makes_of_a_random_sweep_with_ties_and_gaps(capsys, tmp_path):
    random_sweep(tmp_path, seed=1, digits=1, draws=4, steps=(0, 5, 10, 15))
    random_sweep(tmp_path, seed=2, digits=1, n_envs=6, dataset="DomainNet", prefix="net", trials=3)
    for name in ("run0000", "run0033", "net0100"):
        shutil.rmtree(tmp_path / name)
    ours = table_lines(collected(capsys, "--input_dir", tmp_path))
    theirs = subprocess.run(
        [sys.executable, "-m", "domainbed.scripts.collect_results", "--input_dir", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": DOMAINBED_HOME},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ours == table_lines(theirs)
