"""Runs with other networks, and with other hyper-parameters: each has cells of its own."""

import json

import pandas as pd
import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed import results
from ndcl_domainbed.diagnostics.checks.contrast import read_variants, tabulate_variants
from ndcl_domainbed.results import chosen, read_sweep, summary
from ndcl_domainbed.results.cells import iterate_cells
from ndcl_domainbed.results.leaderboards import build
from tests.results.builder import record, write_run

FROZEN = {"frozen": True, "resnet18": True}
LABEL = "PACS [frozen resnet18]"
MEANING = (
    "In brackets behind a dataset: what --hparams changed of the network; frozen: the backbone is "
    "not trained; an adapter and the classifier are trained on its features."
)
NETWORK = {
    "backbone": "resnet18",
    "weights": "IMAGENET1K_V1",
    "digest": "sha256:ab",
    "frozen": True,
}


def write(root, algorithm, overrides, share, *, dataset="PACS", draws=1, done=True, **more):
    """Write the runs of all four targets; ``share``: the accuracy on every target."""
    for target in range(4):
        for draw in range(draws):
            shares = {f"{env}_{split}": 0.1 for env in range(4) for split in ("in", "out")}
            shares[f"{target}_in"] = share + draw / 100
            made = record(
                0, shares, test_envs=[target], dataset=dataset, algorithm=algorithm,
                hparams_seed=draw, overrides=overrides, **more,
            )  # fmt: skip
            write_run(root / f"{len(list(root.iterdir())):03d}", [made], done=done)


@pytest.fixture
def root(tmp_path):
    write(tmp_path, "NDCL", None, 0.3)
    write(tmp_path, "ERM", {}, 0.2)
    write(tmp_path, "ERM", FROZEN, 0.6, network=NETWORK)
    write(tmp_path, "NDCL", FROZEN | {"beta": 0.0}, 0.8, network=NETWORK)
    write(tmp_path, "NDCL", FROZEN, 0.7, network=NETWORK)
    return tmp_path


def averages(built) -> dict[str, dict[str, float]]:
    """Return the last column of every table by domain: dataset -> row -> percent."""
    tables = [table for table in built.tables if table.kind == "domains"]
    return {
        table.title["Dataset"]: {name: round(cells[-1].mean) for name, cells in table.rows}
        for table in tables
    }


def test_networks_and_variants_have_their_own_cells(root):
    (built,) = build(read_sweep(root), ["training"])
    assert averages(built) == {
        "PACS": {"ERM": 20, "NDCL": 30},
        LABEL: {"ERM": 60, "NDCL": 70, "NDCL (beta=0)": 80},
    }
    names = [list(rows) for rows in averages(built).values()]
    assert names == [["ERM", "NDCL"], ["ERM", "NDCL", "NDCL (beta=0)"]]
    domains = [table.columns for table in built.tables if table.kind == "domains"]
    assert domains == [["A", "C", "P", "S", "Avg"]] * 2


def test_no_average_is_over_several_networks(root):
    write(root, "ERM", None, 0.4, dataset="VLCS")
    (built,) = build(read_sweep(root), ["training"])
    tables = [table for table in built.tables if table.kind == "averages"]
    assert [table.columns for table in tables] == [["VLCS", "PACS", "Avg"], [LABEL, "Avg"]]
    assert [table.title.get("network") for table in tables] == [None, "frozen resnet18"]
    assert dict(tables[0].rows)["ERM"][-1].mean == pytest.approx(30)


def test_ranks_are_over_the_cells_of_one_network(root):
    (built,) = build(read_sweep(root), ["training"])
    cells = [cells for *_, cells in iterate_cells([built], ["overall"])]
    assert [one.network for one in cells] == ["", "frozen resnet18"]
    assert [one.figures.shape for one in cells] == [(4, 2), (4, 3)]


def test_a_variant_is_chosen_among_its_own_draws(tmp_path):
    write(tmp_path, "NDCL", None, 0.3, draws=2)
    write(tmp_path, "NDCL", {"beta": 0}, 0.5, draws=3)
    sweep = read_sweep(tmp_path)
    (built,) = build(sweep, ["training"])
    cells = {name: row[0] for name, row in built.tables[0].rows}
    # equal on validation: the highest draw counts
    assert cells["NDCL"].mean == pytest.approx(31)
    assert cells["NDCL (beta=0)"].mean == pytest.approx(52)
    assert (cells["NDCL"].runs, cells["NDCL (beta=0)"].runs) == (2, 3)
    table = chosen.every_run(sweep, ["training"])
    assert table.groupby("algorithm")["chosen"].agg(["sum", "size"]).to_numpy().tolist() == [
        [4, 8],
        [4, 12],
    ]
    assert not any("repeat" in line for line in summary.head(sweep))


def test_filters_take_all_networks_and_variants_of_a_name(root):
    sweep = read_sweep(root)

    def named(**wanted) -> set[tuple[str, str]]:
        runs = sweep.only(**wanted).runs[["dataset", "algorithm"]]
        return set(runs.astype(str).itertuples(index=False, name=None))

    assert len(named(dataset=["PACS"])) == 5
    assert named(dataset=[LABEL], algorithm=["ERM"]) == {(LABEL, "ERM")}
    assert named(algorithm=["NDCL"]) == {
        ("PACS", "NDCL"), (LABEL, "NDCL"), (LABEL, "NDCL (beta=0)"),
    }  # fmt: skip
    assert named(algorithm=["NDCL (beta=0)"]) == {(LABEL, "NDCL (beta=0)")}
    with pytest.raises(InputError, match="unknown algorithm 'NDCL \\(beta=1\\)'"):
        sweep.only(algorithm=["NDCL (beta=1)"])


def test_a_filter_does_not_rename_rows(root):
    part = read_sweep(root).only(algorithm=["NDCL (beta=0)"])
    (built,) = build(part, ["training"])
    assert averages(built) == {LABEL: {"NDCL (beta=0)": 80}}
    assert summary.head(part)[-1] == MEANING


def test_what_all_runs_fix_is_said_once(tmp_path):
    write(tmp_path, "ERM", {"batch_size": 4}, 0.3)
    write(tmp_path, "NDCL", {"batch_size": 4.0}, 0.4)
    assert summary.head(read_sweep(tmp_path))[-1] == "All runs fix batch_size=4."
    write(tmp_path, "NDCL", {"lr": 0.1}, 0.4, dataset="VLCS", imbalance="Cross")
    assert summary.head(read_sweep(tmp_path))[-2:] == [
        "All runs on PACS fix batch_size=4.",
        "All runs on VLCS under Cross fix lr=0.1.",
    ]
    write(tmp_path, "NDCL", {}, 0.4)
    sweep = read_sweep(tmp_path)
    assert summary.head(sweep)[-1] == "All runs on VLCS under Cross fix lr=0.1."
    rows = set(sweep.runs["algorithm"])
    assert rows == {"ERM (batch_size=4)", "NDCL (batch_size=4)", "NDCL"}


def test_different_weights_under_one_name_are_told(root):
    write(root, "MMD", FROZEN, 0.5, network={**NETWORK, "digest": "sha256:cd"})
    assert summary.head(read_sweep(root))[-1] == (
        f"Warning: the runs on {LABEL} have 2 different networks or weights, which its figures "
        "mix; the report lists them."
    )


def test_a_listed_job_has_the_names_of_a_run(root):
    args = {"dataset": "PACS", "algorithm": "NDCL", "test_envs": [0], "trial_seed": 1}
    jobs = [
        {**args, "hparams": json.dumps(overrides)}
        for overrides in (FROZEN, {"beta": 0, **FROZEN}, {"resnet18": True})
    ]
    lines = [
        json.dumps({"steps": 10, "args": job}) for job in (*jobs, {**jobs[0], "trial_seed": 0})
    ]
    (root / "jobs.jsonl").write_text("\n".join(lines))
    sweep = read_sweep(root)
    waiting = sweep.runs[sweep.runs["state"] == "not started"]
    assert list(zip(waiting["dataset"], waiting["algorithm"], strict=True)) == [
        (LABEL, "NDCL"),
        (LABEL, "NDCL (beta=0)"),
        ("PACS [resnet18]", "NDCL"),
    ]
    assert f"NDCL (beta=0) on {LABEL}: 1 run not started" in summary.left_out(sweep)
    (built,) = build(sweep, ["training"])
    (empty,) = [table for table in built.tables if table.title.get("Dataset") == "PACS [resnet18]"]
    assert empty.reasons()["1 run not started"] == [("NDCL", "A")]


def test_a_notebook_asks_for_a_dataset_by_its_label(root):
    records = results.load(root)
    assert set(records["dataset"]) == {"PACS", LABEL}
    frozen = results.leaderboard(records, "training", dataset=LABEL)
    assert list(frozen.index) == ["ERM", "NDCL", "NDCL (beta=0)"]
    assert list(results.leaderboard(records, "training", dataset="PACS").index) == ["ERM", "NDCL"]
    only = records[records["dataset"] == LABEL]
    pd.testing.assert_frame_equal(
        results.leaderboard(only, "training", dataset="PACS"), frozen, check_like=True
    )


def test_a_network_that_all_runs_share_is_no_variant_of_an_ablation(tmp_path):
    for overrides, share in ((FROZEN, 0.7), (FROZEN | {"contrast": "infonce"}, 0.6)):
        shares = {f"{env}_{split}": 0.1 for env in range(2) for split in ("out", "val")}
        made = record(
            0, {**shares, "0_in": share, "1_in": 0.1}, test_envs=[0], algorithm="NDCL",
            imbalance="Cross", overrides=overrides,
        )  # fmt: skip
        write_run(tmp_path / str(share), [made])
    table = tabulate_variants(*read_variants([tmp_path]))
    assert table["variant"].tolist() == ["NDCL", "NDCL contrast=infonce"]
    assert table["overall_minus_ndcl"].tolist() == pytest.approx([0, -10])
    write(tmp_path, "NDCL", None, 0.3, imbalance="Cross")
    with pytest.raises(InputError, match="with one network, not"):
        read_variants([tmp_path])
