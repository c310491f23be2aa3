"""A folder that can only be read is reported, and what was written before it became so is kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from ndcl_domainbed.training import steps as loop_steps
from tests.command_line import call
from tests.training.file_systems import mounted
from tests.training.processes import NOBODY, Command, be_nobody
from tests.training.runs import assert_same_run, records

TRAIN = (
    "train", "--dataset", "Debug28", "--algorithm", "CORAL", "--steps", 9,
    "--checkpoint_freq", 2, "--hparams", '{"backbone": "small_cnn", "batch_size": 6}',
)  # fmt: skip


@pytest.fixture
def folder():
    """The folder of a user without rights, who can reach it: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)


def _without_rights(output_dir):
    if os.geteuid() == 0:
        be_nobody(output_dir)


def test_a_folder_without_the_right_to_write(folder):
    (folder / "run").mkdir()
    folder.chmod(0o777)
    (folder / "run").chmod(0o555)
    run = Command(folder / "run", *TRAIN, before=_without_rights)
    assert run.status() == 2
    place = f"the output folder {folder / 'run'}"
    assert run.said == f"error: cannot write to {place}: Permission denied\n"
    assert list((folder / "run").iterdir()) == []


def test_a_file_system_that_can_only_be_read(tmp_path):
    with mounted(tmp_path / "disk", "ro,size=1m") as disk:
        for output_dir in (disk, disk / "run"):
            outcome = call(*TRAIN, "--output_dir", output_dir)
            assert outcome.status == 2
            said = f"error: cannot write to the output folder {output_dir}: Read-only file system\n"
            assert outcome.err == said
        sweep = ("sweep", "launch", "--datasets", "Debug28", "--algorithms", "ERM", "--data_dir",
                 tmp_path, "--output_dir", disk, "--skip_confirmation")  # fmt: skip
        outcome = call(*sweep)
        assert outcome.status == 2
        said = f"error: cannot write to --output_dir {disk}: Read-only file system\n"
        assert outcome.err == said


def _forbid_writing_after_step_4(output_dir):
    _without_rights(output_dir)
    update = loop_steps._Steps._update

    def update_and_forbid(loop, now):
        update(loop, now)
        if now == 4:
            output_dir.chmod(0o555)

    loop_steps._Steps._update = update_and_forbid


def test_a_folder_that_loses_the_right_to_write_during_a_run(folder, tmp_path):
    run = Command(folder / "run", *TRAIN, before=_forbid_writing_after_step_4)
    assert run.status() == 1
    error = run.said[run.said.index("error: ") :].splitlines()
    place = folder / "run" / "resume.pt"
    assert error[0] == f"error: cannot write {place} after step 4: Permission denied."
    assert "start again to resume" in error[1]
    assert len(error) == 2
    assert [record["step"] for record in records(folder / "run")] == [0, 2, 4]
    (folder / "run").chmod(0o755)
    again = Command(folder / "run", *TRAIN, before=_without_rights)
    assert again.status() == 0, again.said
    assert "Resuming after step 2." in again.said
    alone = Command(tmp_path / "alone", *TRAIN)
    assert alone.status() == 0, alone.said
    assert_same_run(folder / "run", tmp_path / "alone")
