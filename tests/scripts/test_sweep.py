import io
import json
import shlex
import sys

import pytest

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.run_folder import all_claims, latest_claim
from ndcl_domainbed.scripts import sweep
from ndcl_domainbed.sweeping import claims
from tests.command_line import call
from tests.image_folders import write_images

GRID = ["--datasets", "Debug28", "--n_trials", "1", "--n_hparams", "1", "--single_test_envs"]
CHEAP = [*GRID, "--steps", "2", "--hparams", '{"batch_size": 2, "backbone": "small_cnn"}']


@pytest.fixture
def run(tmp_path, capsys):
    def call(command, *flags):
        folders = ["--output_dir", str(tmp_path / "out"), "--data_dir", str(tmp_path)]
        status = sweep.main([command, *folders, "--skip_confirmation", *flags])
        return status, capsys.readouterr()

    return call


def job_folders(tmp_path):
    return sorted(path for path in (tmp_path / "out").iterdir() if path.is_dir())


def test_launch_runs_every_job_once_and_delete_incomplete_deletes_what_waits(run, tmp_path):
    status, printed = run("launch", *CHEAP, "--algorithms", "ERM", "--jobs", "2")
    assert status == 0
    assert "3 jobs: 0 done, 0 running, 0 failed, 3 waiting." in printed.out
    assert "3 jobs: 3 done, 0 running, 0 failed, 0 waiting." in printed.out
    for folder in job_folders(tmp_path):
        assert (folder / "done").exists()
        records = [json.loads(line) for line in (folder / "results.jsonl").open()]
        assert [record["step"] for record in records] == [0, 1]
        assert [claim.end.outcome for claim in all_claims(folder)] == ["done"]
    status, printed = run("launch", *CHEAP, "--algorithms", "ERM")
    assert status == 0
    assert "About to launch 0 jobs." in printed.out
    first, second, third = job_folders(tmp_path)
    assert all(len(all_claims(folder)) == 1 for folder in (first, second, third))
    for folder in (first, second):
        (folder / "done").unlink()
    assert claims.take(second, 1) is not None
    status, printed = run("delete_incomplete", *CHEAP, "--algorithms", "ERM")
    assert status == 0
    assert "3 jobs: 1 done, 1 running, 0 failed, 1 waiting." in printed.out
    assert "Deleted 1 jobs." in printed.out
    assert job_folders(tmp_path) == [second, third]  # neither what is done nor what is running
    assert (second / "results.jsonl").exists()


def image_folder(tmp_path):
    """Return a folder of three domains with two classes, of one picture each."""
    return write_images(tmp_path / "images", ["a", "b", "c"], ["0", "1"], 1)


def test_data_that_were_moved_are_the_same_data(run, tmp_path):
    data = tmp_path / "data"
    image_folder(data)
    flags = [*CHEAP, "--algorithms", "ERM", "--datasets", "images"]
    run("launch", *flags, "--data_dir", str(data))
    first, *rest = job_folders(tmp_path)
    (first / "done").unlink()
    data.rename(tmp_path / "moved")
    for spelling in ("moved", "moved/", "./moved"):
        here = ["--data_dir", f"{tmp_path}/{spelling}"]
        _, printed = run("launch", *flags, *here)
        assert printed.err.count("3 jobs were launched here with another --data_dir") == 1
        assert ("About to launch 1 jobs." in printed.out) == (spelling == "moved")
        assert "3 done, 0 running, 0 failed, 0 waiting." in printed.out
        assert job_folders(tmp_path) == [first, *rest]
    assert len(all_claims(first)) == 2
    assert all(len(all_claims(folder)) == 1 for folder in rest)
    _, printed = run("delete_incomplete", *flags, *here)
    assert "About to delete 0 jobs." in printed.out


TABLE = ["target,source,class,count", *(
    f"{target},{source},{name},1" for target in "abc" for source in "abc" if target != source
    for name in "01"
)]  # fmt: skip


def test_data_that_changed_are_an_error_and_not_a_sweep_that_is_done(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_images(tmp_path / "images", ["a", "b", "c"], ["0", "1"], 7)
    for name in ("mild", "other/mild"):
        (tmp_path / f"{name}.csv").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.csv").write_text("\n".join(TABLE))
    flags = [*CHEAP, "--algorithms", "ERM", "--datasets", "images", "--test_envs", "a",
             "--imbalance", "none", "mild.csv", "other/mild.csv"]  # fmt: skip
    _, printed = run("launch", *flags)
    assert "3 jobs: 3 done" in printed.out
    lines = [line.partition(" on ")[2] for line in printed.out.splitlines() if " done " in line]
    assert sorted(line.partition(",")[0] for line in lines) == [
        f"images [small_cnn]{table}" for table in ("", "/mild.csv", "/other/mild.csv")
    ]

    (tmp_path / "mild.csv").write_text("\n".join(TABLE).replace("a,b,0,1", "a,b,0,2"))
    changed = r"runs of images/mild\.csv on other data: the training counts of --imbalance"
    with pytest.raises(InputError, match=changed + r".* changed\.\nLaunch into another"):
        run("launch", *flags)
    (tmp_path / "mild.csv").write_text("\n".join(TABLE))
    more = data / "a" / "0" / "more.png"
    more.write_bytes((data / "a" / "0" / "000.png").read_bytes())
    with pytest.raises(InputError, match="other data: the dataset had 42 images and has 43"):
        run("launch", *flags, "--command_launcher", "dummy")
    more.rename(data / "b" / "0" / "more.png")
    (data / "a" / "1" / "000.png").unlink()
    with pytest.raises(InputError, match="of images on other data: image files were renamed"):
        run("launch", *flags)
    (data / "b" / "0" / "more.png").unlink()
    (data / "a" / "1" / "000.png").write_bytes((data / "a" / "1" / "001.png").read_bytes())
    with pytest.raises(InputError, match=r"other data: image files were .*changed in size"):
        run("launch", *flags)


def test_a_job_that_fails_does_so_alone_and_says_why(run, tmp_path):
    broken = image_folder(tmp_path)
    image = broken / "b" / "1" / "000.png"
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])  # its header is whole
    flags = [*CHEAP, "--algorithms", "ERM", "--test_envs", "0"]
    flags[flags.index("Debug28") : flags.index("Debug28") + 1] = ["Debug28", str(broken)]
    status, printed = run("launch", *flags)
    assert status == 1
    assert "2 jobs: 1 done, 0 running, 1 failed, 0 waiting." in printed.out
    assert printed.err.count("failed: ERM (batch_size=2) on ") == 1
    failed = [folder for folder in job_folders(tmp_path) if not (folder / "done").exists()]
    for folder in failed:
        assert str(folder) in printed.err
        reason = (folder / "err.txt").read_text().splitlines()[-1]
        assert str(image) in reason
        assert str(image) in latest_claim(folder).end.reason
        assert len(all_claims(folder)) == 1  # such an error comes again: no retry
    image.write_bytes(content)
    status, printed = run("launch", *flags)
    assert status == 0
    assert "2 jobs: 2 done" in printed.out
    for folder in failed:  # and says no longer why it failed before
        assert (folder / "err.txt").read_text() == ""


def test_dummy_prints_commands_for_a_shell(run, tmp_path):
    hparams = '{"lr": 0.01}'
    flags = [*GRID, "--algorithms", "ERM", "--hparams", hparams, "--feature_cache", "my cache",
             "--command_launcher", "dummy", "--datasets", "PACS"]  # fmt: skip
    status, printed = run("launch", *flags)
    assert status == 0
    lines = printed.out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith(sys.executable) for line in lines)
    assert "About to launch 4 jobs." in printed.err
    for line in lines:
        words = shlex.split(line)
        assert words[words.index("--hparams") + 1] == hparams
        assert words[words.index("--feature_cache") + 1] == "my cache"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["jobs.jsonl"]


@pytest.fixture
def launched(monkeypatch):
    """What the local launcher is given; it starts nothing."""
    jobs = []
    local = sweep.get_launcher("local")
    monkeypatch.setattr(local, "check", lambda given, options: None)
    monkeypatch.setattr(local, "launch", lambda given, options: jobs.extend(given))
    return jobs


HERE = [*GRID, "--algorithms", "ERM", "--data_dir", "d"]


def test_without_a_terminal_nobody_is_asked(tmp_path, monkeypatch, launched):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(InputError, match="not a terminal, so nobody can confirm: add --skip"):
        sweep.main(["launch", *HERE, "--output_dir", str(tmp_path)])
    assert (launched, list(tmp_path.iterdir())) == ([], [])


def test_nobody_is_asked_before_commands_are_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    flags = ["--output_dir", str(tmp_path), "--command_launcher", "dummy"]
    assert sweep.main(["launch", *HERE, *flags]) == 0
    assert capsys.readouterr().out.count(sys.executable) == 3


@pytest.mark.parametrize(("typed", "jobs"), [("y\n", 3), ("\n", 0), ("no\n", 0), ("", 0)])
def test_the_answer_counts_and_the_end_of_the_input_is_a_no(
    tmp_path, monkeypatch, launched, typed, jobs
):
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert sweep.main(["launch", *HERE, "--output_dir", str(tmp_path)]) == 0
    assert len(launched) == jobs


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--algorithms", "EMR"], "unknown algorithm 'EMR'; did you mean 'ERM'"),
        (["--datasets", "PACSS"], "unknown dataset 'PACSS'; did you mean 'PACS'"),
        (["--imbalance", "no_such.csv"], r"no_such\.csv: cannot be read as a split table"),
        (["--imbalance", "GINIDG"], "GINIDG .* has none for Debug28"),
        (["--hparams", '{"lrr": 1}'], "unknown hyper-parameter of ERM 'lrr'; did you mean 'lr'"),
        (["--hparams", "{"], "--hparams is not valid JSON"),
        (["--command_launcher", "locl"], "unknown launcher 'locl'; did you mean 'local'"),
        (["--n_hparams", "0"], "leaves nothing to run"),
        (
            ["--n_trials", "2", "--n_trials_from", "2"],
            "from --n_trials_from, 2, up to but not including --n_trials",
        ),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--test_envs", "art"], "unknown domain of Debug28 'art'"),
        (["--precision", "bf61"], "unknown precision 'bf61'; did you mean 'bf16'"),
        (
            ["--diagnostics", "--algorithms", "ERM", "Mixup", "NDCL", "Fish"],
            "--diagnostics cannot watch Mixup, Fish: ",
        ),
    ],
)
def test_bad_names_and_numbers_launch_nothing(run, tmp_path, flags, message):
    with pytest.raises(InputError, match=message):
        run("launch", *GRID, "--algorithms", "ERM", *flags)
    assert not (tmp_path / "out").exists()


def test_a_missing_data_set_is_an_error_where_the_jobs_would_run(run):
    flags = ["--datasets", "PACS", "--algorithms", "ERM", "--n_trials", "1", "--n_hparams", "1"]
    with pytest.raises(InputError, match=r"no folder .*PACS.*--data_dir"):
        run("launch", *flags)
    assert run("launch", *flags, "--command_launcher", "dummy")[0] == 0


def test_too_few_images_for_a_setting_are_an_error_before_any_job(run, tmp_path):
    folder = image_folder(tmp_path)
    flags = ["--algorithms", "ERM", "--datasets", "Debug28", str(folder), "--imbalance", "none",
             "TotalHeavyTail"]  # fmt: skip
    with pytest.raises(InputError, match=r"images.*class 0 has 1 images"):
        run("launch", *CHEAP, *flags)
    assert not (tmp_path / "out").exists()


def test_a_run_takes_the_name_of_its_test_domain(tmp_path):
    write_images(tmp_path / "images", ["ink", "oil", "pen"], ["0", "1"], 2)
    train = ["--data_dir", tmp_path, "--steps", 1, "--hparams", '{"batch_size": 2}']
    outcome = call("train", "--dataset", "./images/", "--test_env", "Pen", *train,
                   "--output_dir", tmp_path / "run")  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert "Test domains: pen\n" in (tmp_path / "run" / "out.txt").read_text()
    record = json.loads(next((tmp_path / "run" / "results.jsonl").open()))
    assert (record["args"]["dataset"], record["args"]["test_envs"]) == ("images", [2])
    outcome = call("train", "--dataset", "images", "--test_env", "Pencil", *train)
    assert (outcome.status, outcome.err.splitlines()[0][:40]) == (
        2, "error: unknown domain of images 'Pencil'",
    )  # fmt: skip


def test_no_features_are_computed_if_the_launcher_cannot_start(run, tmp_path, monkeypatch):
    write_images(tmp_path / "images", ["a", "b", "c"], ["0", "1"], 2)
    hparams = '{"frozen": true, "backbone": "small_cnn", "batch_size": 2}'
    flags = [*CHEAP, "--algorithms", "ERM", "--datasets", "images", "--hparams", hparams]
    monkeypatch.setenv("PATH", str(tmp_path))  # there is no Slurm
    with pytest.raises(InputError, match="there is no Slurm here"):
        run("launch", *flags, "--command_launcher", "slurm")
    assert not (tmp_path / "features").exists()


def test_by_default_all_algorithms_and_all_real_data_sets(run):
    from ndcl_domainbed.backend import dataset_names
    from ndcl_domainbed.registry import algorithm_names

    flags = ["--n_trials", "1", "--n_hparams", "1", "--single_test_envs"]
    _, printed = run("launch", *flags, "--command_launcher", "dummy")
    lines = [shlex.split(line) for line in printed.out.splitlines() if line.startswith("/")]
    named = {
        flag: {words[words.index(flag) + 1] for words in lines}
        for flag in ("--algorithm", "--dataset")
    }
    assert named["--algorithm"] == set(algorithm_names()) >= {"NDCL", "ERM"}
    assert named["--dataset"] == {name for name in dataset_names() if "Debug" not in name}
