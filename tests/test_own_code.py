"""Code of a user's own, from a file or an installed package, used by every command."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ndcl_domainbed.diagnostics import saved_run
from tests.command_line import call
from tests.own_code import (
    ALGORITHM,
    DATASET,
    DIAGNOSTIC,
    EVERYTHING,
    LAUNCHER,
    SETTING,
    write_package,
)
from tests.training.runs import records

SWEEP = [
    "--algorithms", "Scaled", "--datasets", "Noise", "--imbalance", "Thirds", "--n_hparams", "1",
    "--n_trials", "1", "--single_test_envs", "--steps", "2", "--skip_confirmation",
    "--hparams", '{"batch_size": 4, "backbone": "small_cnn"}',
]  # fmt: skip


@pytest.fixture(autouse=True)
def restored(monkeypatch, tmp_path):
    """Leave no file in use; what a run writes by default goes to a folder of the test's."""
    monkeypatch.setenv("NDCL_OWN_CODE", "")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shout.py"
    path.write_text(EVERYTHING)
    return path


def sweep(tmp_path, *more):
    folders = ["--data_dir", tmp_path, "--output_dir", tmp_path / "out"]
    return call("sweep", "launch", *SWEEP, *folders, *more)


def test_a_run_uses_the_algorithm_the_setting_and_the_dataset_of_a_file(file, tmp_path):
    outcome = call(
        "train", "--own_code", file, "--algorithm", "Scaled", "--dataset", "Noise", "--imbalance",
        "Thirds", "--steps", 2, "--hparams", '{"batch_size": 4}', "--output_dir", tmp_path / "run",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    first, last = records(tmp_path / "run")
    assert first["scaled"] == 3 * first["loss"]
    assert "env3_val_acc" in last
    assert "own_code" not in last["args"]
    assert f"own code: {file}" in outcome.out
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert split["train_counts"] == {name: [1, 1] for name in "esw"}  # (8 - 5) // 3
    assert saved_run.load_run(tmp_path / "run").algorithm.hparams["scale"] == 3.0


def test_a_sweep_runs_it_in_processes_of_its_own_and_its_results_are_collected(file, tmp_path):
    outcome = sweep(tmp_path, "--own_code", file, "--test_envs", "0")
    assert outcome.status == 0, outcome.err
    outcome = call("collect_results", "--input_dir", tmp_path / "out", "--selection", "oracle")
    assert outcome.status == 0
    assert "Scaled" in outcome.out
    assert "Thirds" in outcome.out
    assert "Noise" in outcome.out


def test_jobs_have_the_same_folders_wherever_the_code_is_and_name_it_in_their_commands(
    file, tmp_path, monkeypatch
):
    by_flag = sweep(tmp_path, f"--own_code={file}", "--command_launcher", "dummy")
    assert by_flag.status == 0, by_flag.err
    commands = [line for line in by_flag.out.splitlines() if "scripts.train" in line]
    assert len(commands) == 4
    assert all(line.endswith(f" --own_code {file}") for line in commands)
    monkeypatch.setenv("NDCL_OWN_CODE", "")
    path = write_package(
        tmp_path / "site",
        {"algorithms": "mine.a", "settings": "mine.s", "datasets": "mine.d:Noise"},
        a=ALGORITHM, s=SETTING, d=DATASET,
    )  # fmt: skip
    words = [
        sys.executable, "-m", "ndcl_domainbed", "sweep", "launch", *SWEEP, "--data_dir", tmp_path,
        "--output_dir", tmp_path / "out", "--command_launcher", "dummy",
    ]  # fmt: skip
    search = os.pathsep.join(["site", *sys.path])
    installed = subprocess.run(
        words, capture_output=True, text=True, cwd=path.parent, check=True,
        env={**os.environ, "PYTHONPATH": search},
    )  # fmt: skip
    without = [line.removesuffix(f" --own_code {file}") for line in commands]
    assert [line for line in installed.stdout.splitlines() if "scripts.train" in line] == without


def test_a_launcher_of_a_file_has_its_flags(file, tmp_path):
    outcome = sweep(
        tmp_path, "--own_code", file, "--command_launcher", "shout", "--shout_word", "HEY"
    )
    assert outcome.status == 0, outcome.err
    assert sum(line.startswith("HEY ") for line in outcome.out.splitlines()) == 4
    outcome = sweep(tmp_path, "--command_launcher", "shout")
    assert sum(line.startswith("job ") for line in outcome.out.splitlines()) == 4
    outcome = sweep(tmp_path, "--command_launcher", "dummy", "--shout_word", "HEY")
    assert outcome.status == 2
    assert "--shout_word is for --command_launcher shout, not for dummy" in outcome.err


def test_a_slurm_task_brings_the_code_along(file, tmp_path, monkeypatch):
    """On another machine, whose environment does not name the file."""
    submitit = pytest.importorskip("submitit")
    from ndcl_domainbed.sweeping.launchers import slurm

    tasks = []

    def submitted(jobs, cpus, options, executor):
        tasks.extend(slurm.Task([job], 1, 0) for job in jobs)
        return iter(())

    monkeypatch.setattr(slurm, "submit", submitted)
    executor = SimpleNamespace(update_parameters=lambda **parameters: None)
    monkeypatch.setattr(slurm, "slurm_executor", lambda folder: executor)
    outcome = sweep(tmp_path, "--own_code", file, "--command_launcher", "slurm")
    assert outcome.status == 0, outcome.err
    monkeypatch.delenv("NDCL_OWN_CODE")
    pickled = submitit.core.utils.DelayedSubmission(tasks[0])
    pickled.dump(tmp_path / "task.pkl")
    code = (
        "import sys\nfrom submitit.core.utils import DelayedSubmission\n"
        "DelayedSubmission.load(sys.argv[1]).result()"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "task.pkl")]
    subprocess.run(words, check=True, capture_output=True, cwd=tmp_path)
    folder = tasks[0].jobs[0].folder
    assert (folder / "done").exists(), (folder / "err.txt").read_text()
    assert records(folder)[0]["scaled"] == 3 * records(folder)[0]["loss"]


def test_splits_and_diagnose_know_it_too(file, tmp_path):
    outcome = call(
        "splits", "make", "PACS", "Thirds", "--own_code", file, "--parts", 4,
        "--output", tmp_path / "t.json",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    text = (tmp_path / "t.json").read_text()
    assert json.loads(text)["train_counts"]["S"]["P"]["dog"] == (189 - 5) // 4
    outcome = call("splits", "make", "PACS", "Thirds:parts=4", "--output", tmp_path / "u.json")
    assert (outcome.status, (tmp_path / "u.json").read_text()) == (0, text)
    assert "  shout " in call("diagnose", "--help").out


HELP = """
import contextlib, io, json, sys
from ndcl_domainbed.scripts.cli import COMMANDS, dispatch
found = {}
for command in ("", *COMMANDS):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        dispatch([*command.split(), "--help"])
    found[command] = out.getvalue()
heavy = {"torch", "pandas", "scipy", "matplotlib", "pyarrow", "gdown", "requests"}
print(json.dumps([found, sorted(heavy & set(sys.modules))]))
"""


def test_help_tells_of_the_flag_and_imports_no_heavy_package(tmp_path):
    (tmp_path / "own.py").write_text(ALGORITHM + SETTING + DATASET + DIAGNOSTIC)
    done = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, check=True,
        env={**os.environ, "NDCL_OWN_CODE": str(tmp_path / "own.py")},
    )  # fmt: skip
    found, heavy = json.loads(done.stdout)
    assert heavy == []
    assert all("usage" in text for text in found.values())
    assert all("--own_code" in text for text in found.values())


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (ALGORITHM.replace("Scaled(", "Mixup("), ["train", "--algorithm", "ERM"],
         "two of the algorithms are called Mixup: in {file} and "
         "ndcl_domainbed.testbed.algorithms.mixup; rename one."),
        (SETTING.replace("Thirds(", "Cross("), ["splits", "list"],
         "two of the settings are called Cross: in imbalance_splits.settings.cross and {file}; "
         "rename one."),
        (DATASET.replace("Noise(", "PACS("), ["train", "--dataset", "PACS"],
         "two of the datasets are called PACS: in ndcl_domainbed.testbed.datasets.published "
         "and {file}; rename one."),
        ("x = 1\ndef f(:\n", ["train", "--algorithm", "ERM"],
         "{file} cannot be imported: SyntaxError: invalid syntax\n"
         "Fix {file}, line 2, or leave the file out."),
        ("x = 1\ndef f(:\n", ["sweep", "--help"],
         "{file} cannot be imported: SyntaxError: invalid syntax\n"
         "Fix {file}, line 2, or leave the file out."),
        ("import json\n\njson.loads('{')\n", ["splits", "list"],
         "{file} cannot be imported: JSONDecodeError: Expecting property name enclosed in double "
         "quotes: line 1 column 2 (char 1)\nFix {file}, line 3, or leave the file out."),
        ("import nowhere_to_be_found\n", ["train", "--algorithm", "ERM"],
         "{file} cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'\n"
         "Fix {file}, line 1, or leave the file out."),
        ("from ndcl_domainbed.registry import algorithm_names\n\nNAMES = algorithm_names()\n",
         ["train", "--algorithm", "ERM"],
         "{file} looks up registered names while it is being imported, before its own are "
         "defined. Move that call into a function."),
        ("def launch(jobs, options):\n    return False\n", ["sweep", "--help"],
         "{file}: a launcher needs a function add_flags()."),
    ],
    ids=["algorithm", "setting", "dataset", "syntax", "launcher syntax", "error", "import",
         "circle", "launcher"],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_in_two_lines(text, words, message, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(text)
    outcome = call(*words, "--own_code", file)
    assert outcome.status == 2
    assert outcome.err == f"error: {message.format(file=file)}\n"


def test_a_launcher_called_like_ours_is_an_error(tmp_path):
    (tmp_path / "local.py").write_text(LAUNCHER)
    outcome = call("sweep", "--help", "--own_code", tmp_path / "local.py")
    assert outcome.status == 2
    assert "are called local: in ndcl_domainbed.sweeping.launchers.local and" in outcome.err


@pytest.mark.parametrize("name", ["none.py", "", "text.txt"])
def test_a_file_that_is_not_there_is_named(name, tmp_path):
    (tmp_path / "text.txt").write_text("")
    outcome = call("splits", "list", "--own_code", tmp_path / name if name else "")
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) == 1
    assert "--own_code" in outcome.err


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("mine.gone", "error: mine.gone (entry point x) cannot be imported: ModuleNotFoundError: "
         "No module named 'mine.gone'\nFix mine.gone (entry point x), or leave the file out.\n"),
        ("mine.s:Gone", "error: mine.s (entry point x): Gone is not one of the settings.\n"),
        ("mine.broken", "error: mine.broken (entry point x) cannot be imported: ZeroDivisionError: "
         "division by zero\nFix {folder}/mine/broken.py, line 2, or leave the file out.\n"),
    ],
    ids=["module", "attribute", "broken"],
)  # fmt: skip
def test_a_broken_entry_point_is_named(value, message, tmp_path):
    folder = write_package(tmp_path, {"settings": value}, s=SETTING, broken="\n1 / 0\n")
    search = os.pathsep.join([str(folder), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "ndcl_domainbed", "splits", "list"], capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": search},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == message.format(folder=folder)
