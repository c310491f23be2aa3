"""What the commands say of folders in which no run has a record yet."""

import json

import pandas as pd
import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.results import leaderboard, load, select
from ndcl_domainbed.scripts import collect_results, export_results, list_top_hparams
from tests.results.builder import write_run

OF = ["--dataset", "DigitsDG", "--algorithm", "ERM", "--test_env", "0"]


@pytest.fixture(params=["DigitsDG", "unheard_of"])
def listed(request, tmp_path):
    """Return a sweep that has listed 16 jobs, and the name of their dataset."""
    root = tmp_path / "sweep"
    root.mkdir()
    jobs = [
        {"dataset": request.param, "algorithm": algorithm, "test_envs": [env], "trial_seed": trial,
         "hparams_seed": 0, "imbalance": "Cross"}
        for algorithm in ("ERM", "NDCL") for env in range(4) for trial in range(2)
    ]  # fmt: skip
    lines = [json.dumps({"steps": 10, "args": args}) + "\n" for args in jobs]
    (root / "jobs.jsonl").write_text("".join(lines))
    return root, request.param


@pytest.fixture(params=["", "garbage\nmore\n"])
def unknown(request, tmp_path):
    """Return a folder of one run that nothing is known of."""
    write_run(tmp_path / "sweep" / "run", [], done=False, tail=request.param)
    return tmp_path / "sweep"


@pytest.mark.parametrize("flags", ["", "--partial", "--verbose --counts", "--metrics few",
                                   "--format latex", "--format csv"])  # fmt: skip
def test_a_sweep_that_has_not_begun_has_tables_of_x_with_their_reason(capsys, listed, flags):
    assert collect_results.main(["--input_dir", str(listed[0]), *flags.split()]) == 0
    text = capsys.readouterr().out
    assert "No record yet: 16 runs not started." in text
    assert "2 runs not started" in text


def test_the_domains_without_a_record_are_the_known_ones_or_those_that_are_targets(capsys, listed):
    root, dataset = listed
    collect_results.main(["--input_dir", str(root), "--selection", "balanced"])
    domains = "MNIST, MNIST-M, OPT, SYN" if dataset == "DigitsDG" else "env0, env1, env2, env3"
    assert f"  X under {domains}: 2 runs not started\n" in capsys.readouterr().out


def test_files_beside_the_tables_of_a_sweep_that_has_not_begun(capsys, listed, tmp_path):
    page, path = tmp_path / "report.html", tmp_path / "tables.txt"
    flags = ["--statistics", "--html", str(page), "--output", str(path)]
    assert collect_results.main(["--input_dir", str(listed[0]), *flags]) == 0
    assert "16 not started" in page.read_text()
    assert path.read_text() == capsys.readouterr().out
    assert pd.read_csv(tmp_path / "tables_hparams.csv").empty


def test_the_other_commands_say_that_there_is_no_record(capsys, listed, tmp_path):
    root, dataset = listed
    path = tmp_path / "runs.csv"
    assert export_results.main(["--input_dir", str(root), "--output", str(path)]) == 0
    assert "No record yet: 16 runs not started." in capsys.readouterr().out
    assert pd.read_csv(path).empty
    assert list_top_hparams.main(["--input_dir", str(root), *OF, "--dataset", dataset]) == 0
    out = capsys.readouterr().out
    assert out == "Total records: 0\nNo record yet: 8 runs not started.\n"


@pytest.mark.parametrize("partial", [False, True])
def test_in_a_notebook_too(listed, partial):
    root, dataset = listed
    records = load(root)
    assert records.empty
    for criterion in ("training", "leave_one_out", "oracle", "balanced"):
        chosen = select(records, criterion, partial=partial)
        assert chosen.empty
        assert "step" in chosen
    with pytest.raises(InputError, match="there is no record yet"):
        leaderboard(records, "balanced", dataset=dataset)


def test_runs_that_nothing_is_known_of_are_an_error_that_says_so(unknown, tmp_path):
    at = ["--input_dir", str(unknown)]
    page = str(tmp_path / "x.html")
    for main, flags in (
        (collect_results.main, []),
        (collect_results.main, ["--partial", "--statistics", "--html", page]),
        (export_results.main, ["--output", str(tmp_path / "x.csv")]),
        (list_top_hparams.main, OF),
    ):
        with pytest.raises(InputError, match=r"no record yet under .*: 1 folder without one"):
            main([*at, *flags])
    with pytest.raises(InputError, match="no record yet"):
        load(unknown)
