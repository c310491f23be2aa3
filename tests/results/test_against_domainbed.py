"""``list_top_hparams`` against DomainBed's own script, on the sweep that DomainBed ships."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ndcl_domainbed.scripts import list_top_hparams

HOME = os.environ.get("DOMAINBED_HOME", "")
WHOSE = ("--dataset", "VLCS", "--algorithm", "ERM", "--test_env", "0")
NUMBER = r"(?:np\.float64\()?([-+.\de]+)"


def listed(text: str) -> list[tuple[str, str, str, str, dict[str, str], set[str]]]:
    """Return the draws in the order of the text, whichever script wrote it.

    A draw: criterion, trial, both accuracies to four places, hyper-parameters, names of folders.
    """
    found = []
    criterion = trial = ""
    for line in text.splitlines():
        if line.startswith("Model selection: "):
            criterion = line.removeprefix("Model selection: ")
        elif line.startswith("trial_seed: "):
            trial = line.removeprefix("trial_seed: ")
        elif "val_acc" in line:
            (pair,) = re.findall(rf"val_acc\W+{NUMBER}.*test_acc\W+{NUMBER}", line)
            found.append((criterion, trial, *(f"{float(one):.4f}" for one in pair), {}, set()))
        elif re.match(r"\t\t\t\w+: ", line):
            name, _, value = line.strip().partition(": ")
            found[-1][4][name] = value
        elif "/" in line:
            found[-1][5].add(Path(line.split()[-1]).name)
    return found


@pytest.mark.domainbed
def test_the_draws_are_listed_as_domainbed_lists_them(capsys, tmp_path):
    sweep = str(Path(HOME, "domainbed", "misc", "test_sweep_data").resolve())
    command = [sys.executable, "-m", "domainbed.scripts.list_top_hparams", "--input_dir", sweep]
    theirs = subprocess.run(
        [*command, *WHOSE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(HOME).resolve())},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert list_top_hparams.main(["--input_dir", sweep, *WHOSE]) == 0
    ours = capsys.readouterr().out
    assert ours.splitlines()[0] == theirs.splitlines()[0] == "Total records: 200"
    expected, found = listed(theirs), listed(ours)
    assert len({criterion for criterion, *_ in expected}) == 3
    assert len({trial for _, trial, *_ in expected}) > 1
    assert [draw[:5] for draw in found] == [draw[:5] for draw in expected]
    for mine, their in zip(found, expected, strict=True):
        assert len(mine[5]) == 1  # the run of the target alone; theirs lists the pairs' too
        assert mine[5] <= their[5]
