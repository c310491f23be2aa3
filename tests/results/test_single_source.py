"""Runs that train on one domain and are tested on all others have tables of their own."""

import pytest

from ndcl_domainbed.results import leaderboard, load, read_sweep
from ndcl_domainbed.results.leaderboards import build
from ndcl_domainbed.results.report import page
from tests.results.builder import record, write_run

LABEL = "PACS [single source]"


def write(root, source, steps, n_envs=4, **args):
    """Write a run that trains on ``source``: per step its "out" and the others' accuracies."""
    others = [env for env in range(n_envs) if env != source]
    records = []
    for step, (out, *targets) in enumerate(steps):
        shares = {f"{source}_in": 1.0, f"{source}_out": out}
        shares |= {f"{env}_in": share for env, share in zip(others, targets, strict=True)}
        shares |= {f"{env}_out": share / 2 for env, share in zip(others, targets, strict=True)}
        made = record(step, shares, test_envs=others, **args)
        class_acc = {
            f"env{env}_in": [share, None] for env, share in zip(others, targets, strict=True)
        }
        records.append(made | {"class_acc": class_acc})
    number = len(list(root.iterdir()))
    return write_run(root / f"{number:03}", records)


@pytest.fixture
def root(tmp_path):
    write(tmp_path, 0, [(0.9, 0.2, 0.4, 0.6), (0.8, 1, 1, 1)])  # the first step, by "out"
    write(tmp_path, 2, [(0.5, 0.1, 0.2, 0.3)])
    write(tmp_path, 2, [(0.5, 0.1, 0.2, 0.9)], trial_seed=1)
    write(tmp_path, 0, [(0.5, 0.3, 0.3, 0.3)], algorithm="NDCL")
    return tmp_path


def test_a_figure_is_the_mean_over_the_domains_that_were_not_trained_on(root):
    (training,) = build(read_sweep(root), ["training"])
    domains, averages = training.tables
    assert domains.title["Dataset"] == LABEL
    assert domains.columns == ["from A", "from C", "from P", "from S", "Avg"]
    erm = dict(domains.rows)["ERM"]
    assert [cell.mean for cell in (erm[0], erm[2])] == [pytest.approx(40), pytest.approx(30)]
    assert [cell.trials for cell in erm] == [1, 0, 2, 0, 1]
    assert erm[-1].mean == pytest.approx((40 + 20) / 2)  # over A and P, of trial 0, which has both
    assert domains.notes[0] == "averages are over the sources from A, from P only"
    assert averages.columns == [LABEL, "Avg"]
    (oracle,) = build(read_sweep(root), ["oracle"])
    assert dict(oracle.tables[0].rows)["ERM"][0].mean == pytest.approx(100)  # its last step


def test_they_never_mix_with_runs_that_leave_one_domain_out(root):
    shares = {f"{env}_{split}": 0.5 for env in range(4) for split in ("in", "out")}
    for env in range(4):
        write_run(root / f"single{env}", [record(0, shares, test_envs=[env])])
    built = build(read_sweep(root), ["training"])
    boards = [table.title["Dataset"] for table in built[0].tables if table.kind == "domains"]
    assert boards == ["PACS", LABEL]
    averages = [table for table in built[0].tables if table.kind == "averages"]
    assert [table.title.get("network") for table in averages] == [None, "single source"]
    assert len(read_sweep(root).only(dataset=["PACS"]).runs) == 8


def test_frames_and_the_report_have_them(root):
    frame = load(root)
    assert set(frame["domain"]) == {"from A", "from P"}
    assert frame["overall"].iloc[0] == pytest.approx(0.4)
    board = leaderboard(frame, "training")
    assert board.loc["NDCL", ("from A", "mean")] == pytest.approx(0.3)
    html = page(read_sweep(root), build(read_sweep(root)))
    assert "Single source: trained on the one domain that a column names" in html


def test_pairs_of_another_network_are_no_leave_one_out(tmp_path):
    shares = {f"{env}_{split}": 0.5 for env in range(3) for split in ("in", "out")}
    single = record(0, shares, test_envs=[0], dataset="Office31")
    single["args"]["hparams"] = '{"resnet18": true}'
    write_run(tmp_path / "single", [single])
    write_run(tmp_path / "pair", [record(0, shares, test_envs=[0, 1], dataset="Office31")])
    assert set(load(tmp_path)["test_env"]) == {0, 2}


def test_pairs_of_three_domains_belong_to_leave_one_out_if_there_are_single_targets(tmp_path):
    write(tmp_path, 0, [(0.9, 0.2, 0.4)], n_envs=3, dataset="Office31")
    assert set(read_sweep(tmp_path).runs["dataset"]) == {"Office31 [single source]"}
    shares = {f"{env}_{split}": 0.5 for env in range(3) for split in ("in", "out")}
    write_run(tmp_path / "single", [record(0, shares, test_envs=[0], dataset="Office31")])
    assert set(read_sweep(tmp_path).runs["dataset"]) == {"Office31"}
