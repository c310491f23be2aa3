"""Every command: how it is started, and what it says of a system on which it cannot work."""

import errno
import resource
import runpy
import sys

import pytest

from ndcl_domainbed.scripts import cli
from tests.command_line import call
from tests.training.processes import Command


def end_of(main, capsys):
    """Return the exit status of a command, and what it wrote to standard error."""
    with pytest.raises(SystemExit) as leaving:
        cli.run(main, [])
    return leaving.value.code, capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_few_file_descriptors_are_two_lines(number, capsys):
    def main(argv):
        raise OSError(number, "Too many open files")

    status, err = end_of(main, capsys)
    assert status == 1
    assert err.startswith("error: Too many open files: the system allows")
    assert "`ulimit -n 4096`" in err.splitlines()[1]
    assert len(err.splitlines()) == 2


def test_a_folder_that_may_not_be_entered_is_one_line(capsys):
    def main(argv):
        raise PermissionError(errno.EACCES, "Permission denied", "/home/other/data")

    assert end_of(main, capsys) == (2, "error: /home/other/data: Permission denied.\n")


def test_other_errors_of_the_system_are_not_hidden():
    def main(argv):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        cli.run(main, [])


def _allow_few_files(_output_dir):
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))


def test_a_sweep_with_too_few_file_descriptors_says_so_before_any_job(tmp_path):
    flags = [
        "launch", "--datasets", "Debug28", "--algorithms", "ERM", "--n_hparams", "2", "--n_trials",
        "1", "--steps", "1", "--hparams", '{"batch_size": 2}', "--jobs", "9", "--data_dir", "d",
        "--skip_confirmation", "--skip_model_save",
    ]  # fmt: skip
    run = Command(tmp_path, "sweep", *flags, before=_allow_few_files)
    assert run.status() == 1, run.said
    error = run.said[run.said.index("error: ") :]
    assert error.startswith("error: Too many open files")
    assert len(error.splitlines()) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.jsonl"]


def test_windows_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    status, err = end_of(lambda argv: 0, capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("error: Windows is not supported")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_a_module_too(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.delitem(sys.modules, f"ndcl_domainbed.scripts.{name}", raising=False)
    with pytest.raises(SystemExit) as leaving:
        runpy.run_module(f"ndcl_domainbed.scripts.{name}", run_name="__main__")
    assert leaving.value.code == 0
    assert f"ndcl-domainbed {name}" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--algoritm", "--part", "--targ"])  # two of them abbreviated
@pytest.mark.parametrize(
    "command",
    ["train", "collect_results --input_dir runs", "sweep launch --output_dir runs",
     "splits show PACS Cross"],
)  # fmt: skip
def test_a_flag_that_there_is_not_is_an_error_of_two_lines(command, flag):
    outcome = call(*command.split(), flag, "NDCL")
    assert outcome.status == 2
    usage, error = outcome.err.splitlines()
    assert usage.startswith("usage: ndcl-domainbed ")
    assert error.endswith(f"error: unrecognized arguments: {flag} NDCL")
