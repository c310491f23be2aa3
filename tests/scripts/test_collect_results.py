"""The command as a user runs it, against DomainBed's own tables among others."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.scripts import collect_results
from tests.results.builder import random_sweep, record, write_run
from tests.results.printed import table_lines

DOMAINBED_HOME = os.environ.get("DOMAINBED_HOME", "")


def collected(capsys, *argv) -> str:
    assert collect_results.main([str(part) for part in argv]) == 0
    return capsys.readouterr().out


@pytest.mark.domainbed
def test_the_tables_of_the_sweep_that_domainbed_ships(capsys):
    misc = Path(DOMAINBED_HOME) / "domainbed" / "misc"
    expected = (misc / "test_sweep_results.txt").read_text()
    text = collected(capsys, "--input_dir", misc / "test_sweep_data")
    assert text.startswith("Total records: 200\n")
    assert table_lines(text) == table_lines(expected)


@pytest.mark.domainbed
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


@pytest.fixture
def root(tmp_path):
    return random_sweep(tmp_path / "sweep", algorithms=["ERM", "NDCL"], draws=1, trials=2)


def test_the_tables_go_to_the_terminal_and_to_the_file(capsys, root, tmp_path):
    path = tmp_path / "new" / "tables.txt"
    text = collected(capsys, "--input_dir", root, "--output", path)
    assert path.read_text() == text
    hparams = (tmp_path / "new" / "tables_hparams.csv").read_text().splitlines()
    assert hparams[0].startswith("selection,")
    assert len(hparams) == 1 + 3 * 2 * 4 * 2


def test_the_diagrams_of_the_ranks_go_beside_the_tables(capsys, root, tmp_path):
    flags = ("--input_dir", root, "--output", tmp_path / "t" / "tables.tex")
    collected(capsys, *flags, "--selection", "training", "oracle")
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == [
        "tables.tex", "tables_hparams.csv",
    ]  # fmt: skip
    collected(capsys, *flags, "--selection", "training", "oracle", "--statistics")
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "t").glob("*_ranks_*")}
    assert sorted(drawn) == [
        f"tables_ranks_{name}.{suffix}"
        for name in ("oracle", "training")
        for suffix in ("pdf", "svg")
    ]
    assert drawn["tables_ranks_training.svg"].startswith(b"<?xml")
    assert drawn["tables_ranks_training.pdf"].startswith(b"%PDF")


def test_the_format_follows_the_flag_or_the_file(capsys, root, tmp_path):
    latex = collected(capsys, "--input_dir", root, "--latex")
    assert latex.startswith(r"\documentclass")
    assert collected(capsys, "--input_dir", root, "--format", "latex") == latex
    assert collected(capsys, "--input_dir", root, "--format", "latex", "--latex") == latex
    path = tmp_path / "tables.md"
    assert "| Algorithm" in collected(capsys, "--input_dir", root, "--output", path)


def test_a_csv_file_says_of_every_figure_what_it_means_and_what_was_left_out(capsys, root):
    (root / "run0000" / "done").unlink()
    text = collected(capsys, "--input_dir", root, "--format", "csv", "--statistics")
    table = pd.read_csv(io.StringIO(text))
    assert table["trials"].dtype == "int64"
    (said,) = table["page_head"].unique()
    assert "+/- is the standard error over trials" in said
    assert "39 done, 1 unfinished (left out)" in said
    ranks = table[table["table"] == "statistics"]
    is_profile = ranks["column"].str.startswith(">")
    assert ranks["table_head"][is_profile].str.contains("the share of runs").all()
    assert ranks["table_head"][~is_profile].str.contains("Wilcoxon").all()
    assert ranks["table_notes"][~is_profile].str.contains("too few cells").all()


def test_the_metric_of_a_csv_row_is_the_measure_of_its_figure(capsys, tmp_path):
    shares = {f"{env}_{split}": 0.5 for env in range(4) for split in ("in", "out", "val")}
    for env in range(4):
        made = record(0, shares, test_envs=[env], imbalance="Cross")
        write_run(tmp_path / str(env), [{**made, f"env{env}_in_2few": 0.25}])
    argv = ("--input_dir", tmp_path, "--format", "csv", "--metrics", "few", "--selection")
    table = pd.read_csv(io.StringIO(collected(capsys, *argv, "balanced")))
    assert set(table["table"]) == {"domains", "measures", "averages"}
    assert set(table["metric"]) == {"Few"}
    argv = ("--input_dir", tmp_path, "--format", "csv", "--selection", "balanced")
    table = pd.read_csv(io.StringIO(collected(capsys, *argv)))
    measures = table[table["table"] == "measures"]
    assert (measures["metric"] == measures["column"]).all()
    assert len(measures) > 4


def test_names_of_all_kinds_reach_the_file_and_any_terminal(tmp_path, capsys):
    folder = tmp_path / "sweep"
    random_sweep(folder, algorithms=["Büro_%"], draws=1, trials=1, pairs=False, dataset="數_&")
    flags = ["--input_dir", str(folder), "--selection", "training", "--output"]
    done = subprocess.run(
        [sys.executable, "-m", "ndcl_domainbed.scripts.collect_results", *flags,
         str(tmp_path / "tables.tex")],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "tables.tex").read_text(encoding="utf-8")
    assert r"Büro\_\% & " in page
    assert r"Dataset: 數\_\&, model" in page
    assert r"Dataset: \u6578\_\&, model" in done.stdout
    collected(capsys, *flags, tmp_path / "tables.csv")
    table = pd.read_csv(tmp_path / "tables.csv")
    assert set(table["algorithm"]) == {"Büro_%"}
    assert set(table[table["table"] == "domains"]["dataset"]) == {"數_&"}
    assert set(pd.read_csv(tmp_path / "tables_hparams.csv")["algorithm"]) == {"Büro_%"}


def test_only_what_was_asked_for_is_shown(capsys, root):
    random_sweep(root, prefix="v", dataset="VLCS", algorithms=["ERM"], draws=1, trials=1)
    text = collected(
        capsys, "--input_dir", root, "--datasets", "PACS", "--algorithms", "NDCL",
        "--selection", "oracle", "--imbalance", "none",
    )  # fmt: skip
    tables = [line for line in text.splitlines() if line.startswith("----")]
    assert len(tables) == 2
    assert "VLCS" not in text
    assert "ERM" not in text
    assert "Runs: 20 done." in text


def test_what_is_left_out_is_named_if_asked(capsys, root):
    write_run(root / "bad", [], tail="torn\n", done=False, err="error: disk full\n")
    (root / "run0000" / "done").unlink()
    flags = ["--input_dir", str(root), "--verbose"]
    assert collect_results.main(flags) == 0
    err = capsys.readouterr().err.splitlines()
    assert err == [
        f"{root}/bad/results.jsonl: 1 unreadable line",
        f"{root}/bad: no record",
        f"{root}/run0000: unfinished",
    ]
    assert collect_results.main(flags[:-1]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "39 done, 1 unfinished (left out), 1 without a record, 1 unreadable line" in captured.out


def test_the_report_names_no_path_and_with_partial_tells_what_is_counted(capsys, root, tmp_path):
    for run, reason in (("run0000", "cannot read /home/me/faces/cat.png"), ("run0001", "")):
        (root / run / "done").unlink()
        (root / run / "err.txt").write_text(f"error: {reason}\n" if reason else "")
    write_run(root / "none", [], done=False, err="error: disk full\n")
    page = tmp_path / "report.html"
    flags = ["--input_dir", str(root), "--verbose", "--html", str(page)]
    assert collect_results.main(flags) == 0
    captured = capsys.readouterr()
    assert f"{root}/run0000: failed (cannot read /home/me/faces/cat.png)\n" in captured.err
    assert "failed (cannot read cat.png)" in page.read_text()
    assert "/home/me" not in page.read_text() + captured.out
    assert collect_results.main([*flags, "--partial"]) == 0
    captured = capsys.readouterr()
    told = "38 done, 1 unfinished (counted), 1 failed (counted), 1 without a record."
    assert told in captured.out
    assert captured.err.splitlines() == [f"{root}/none: no record"]
    html = page.read_text()
    assert html.count(told) == 2 + 1  # the head, the last section, the data
    assert "(left out)" not in html
    assert f"<li><code>{root}/run000" not in html


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format", "latx"], "did you mean 'latex'"),
        (["--latex", "--format", "csv"], "--latex and --format csv contradict each other"),
        (["--algorithms", "NDLC"], "did you mean 'NDCL'"),
        (["--datasets", "PASC"], "did you mean 'PACS'"),
        (["--imbalance", "Cross"], "unknown setting 'Cross'"),
        (["--selection", "balance"], "did you mean 'balanced'"),
        (["--metrics", "fwe"], "did you mean 'few'"),
        (["--reference", "NDLC", "--statistics"], "did you mean 'NDCL'? Choose from: ERM, NDCL"),
        (["--reference", "NDCL", "--algorithms", "ERM"], "Choose from: ERM"),
        (["--hparams_out", "x.json"], "must end in .csv or .parquet"),
    ],
)
def test_bad_requests_are_errors_in_plain_words(root, flags, message):
    with pytest.raises(InputError) as error:
        collect_results.main(["--input_dir", str(root), *flags])
    assert message in str(error.value)


def test_only_the_reference_by_default_may_be_without_a_run(capsys, root):
    random_sweep(root, prefix="v", algorithms=["CORAL"], draws=1, trials=2)
    flags = ("--input_dir", root, "--statistics", "--selection", "training", "--algorithms")
    text = collected(capsys, *flags, "ERM", "CORAL")
    assert "no run of NDCL to compare with" in text
    assert "ERM minus row" in collected(capsys, *flags, "ERM", "CORAL", "--reference", "ERM")


def test_the_only_variant_of_ndcl_is_the_reference_by_default(capsys, tmp_path):
    for number, (algorithm, overrides) in enumerate([("ERM", None), ("NDCL", {"beta": 0})]):
        shares = {f"{env}_{split}": number / 2 for env in (0, 1) for split in ("in", "out")}
        made = record(0, shares, test_envs=[0], algorithm=algorithm, overrides=overrides)
        write_run(tmp_path / str(number), [made])
    flags = ("--input_dir", tmp_path, "--statistics", "--selection", "training")
    assert "NDCL (beta=0) minus row" in collected(capsys, *flags)
    assert "NDCL (beta=0)" in collected(capsys, *flags, "--algorithms", "NDCL", "ERM")


@pytest.mark.parametrize("name", ["text", "latex"])
def test_every_format_names_networks_and_variants(capsys, tmp_path, name):
    for number, changed in enumerate([{}, {"alpha": 0, "beta": 0}]):
        shares = {f"{env}_{split}": number / 2 for env in (0, 1) for split in ("in", "out")}
        overrides = {"frozen": True, "backbone": "timm:mixnet_s", **changed}
        made = record(0, shares, test_envs=[0], algorithm="NDCL", overrides=overrides)
        write_run(tmp_path / str(number), [made])
    flags = ("--selection", "training", "--statistics", "--output", tmp_path / "tables")
    text = collected(capsys, "--input_dir", tmp_path, "--format", name, *flags)
    plain = re.sub(r"[\\{}]", "", text)
    for told in ("PACS [frozen mixnet_s]", "NDCL (alpha=0, beta=0)", "backbone is not trained"):
        assert told in plain
    assert (tmp_path / "tables_ranks_training_frozen_mixnet_s.svg").exists()


def test_every_figure_of_a_csv_file_tells_its_network(capsys, tmp_path):
    for number, overrides in enumerate([None, {"resnet18": True}]):
        for algorithm in ("ERM", "NDCL"):
            shares = {f"{env}_{split}": 0.5 for env in (0, 1) for split in ("in", "out")}
            made = record(0, shares, test_envs=[0], algorithm=algorithm, overrides=overrides)
            write_run(tmp_path / f"{algorithm}{number}", [made])
    text = collected(
        capsys, "--input_dir", tmp_path, "--format", "csv", "--selection", "training",
        "--statistics",
    )  # fmt: skip
    table = pd.read_csv(io.StringIO(text), keep_default_na=False)
    counts = table.groupby(["table", "network"]).size()
    for kind in ("domains", "averages", "statistics"):
        assert set(counts[kind].index) == {"", "resnet18"}
        assert counts[kind, ""] == counts[kind, "resnet18"]


def imported(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after ``code``."""
    ask = "; import sys; print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", code + ask], capture_output=True, text=True, check=True
    )
    return set(result.stderr.split())


def test_tables_are_made_without_torch(root):
    argv = ["--input_dir", str(root), "--statistics", "--output", str(root / "t.txt")]
    code = f"from ndcl_domainbed.scripts import collect_results as c; c.main({argv!r})"
    assert not {"torch", "torchvision"} & imported(code)


def test_runs_that_repeat_another_are_told(capsys, root):
    shutil.copytree(root / "run0000", root / "copy")
    assert "1 of them repeat" in collected(capsys, "--input_dir", root)
