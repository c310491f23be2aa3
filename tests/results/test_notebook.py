import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed import results
from ndcl_domainbed.results.leaderboards import build
from tests.results.builder import random_sweep, record, write_run


def test_a_leaderboard_as_numbers(tmp_path):
    for trial, share in enumerate([0.4, 0.6]):
        shares = {"0_in": share, "0_out": 0.1, "1_in": 0.1, "1_out": 0.1}
        write_run(tmp_path / str(trial), [record(0, shares, test_envs=[0], trial_seed=trial)])
    board = results.leaderboard(results.load(tmp_path), "training")
    row = board.loc["ERM"]
    assert row["env0", "mean"] == pytest.approx(0.5)
    assert row["env0", "error"] == pytest.approx(0.1 / 2**0.5)
    assert row["env0", "trials"] == 2
    assert row["Overall", "mean"] == pytest.approx(0.5)
    assert row["env1"].isna()["mean"]


def test_the_numbers_are_those_of_the_tables(tmp_path):
    random_sweep(tmp_path)
    board = results.leaderboard(results.load(tmp_path), "leave_one_out")
    (built,) = build(results.read_sweep(tmp_path), ["leave_one_out"])
    for name, cells in built.tables[0].rows:
        for column, cell in zip(built.tables[0].columns, cells, strict=True):
            assert board.loc[name, (column, "mean")] == pytest.approx(cell.mean / 100)


def test_what_is_missing_is_no_number_among_numbers(tmp_path):
    random_sweep(tmp_path, draws=1, trials=1, pairs=False)
    # on the ordinary split there is nothing to choose by
    frame = results.leaderboard(results.load(tmp_path), "balanced")
    assert set(frame.dtypes.map(str)) == {"float64", "int64"}
    assert frame.xs("mean", axis=1, level=1).isna().all(axis=None)
    assert (frame.xs("trials", axis=1, level=1) == 0).all(axis=None)


def test_one_data_set_must_be_chosen(tmp_path):
    random_sweep(tmp_path, draws=1, trials=1, pairs=False)
    random_sweep(tmp_path, draws=1, trials=1, pairs=False, dataset="VLCS", prefix="v")
    records = results.load(tmp_path)
    with pytest.raises(InputError, match=r"2 datasets \(PACS, VLCS\); choose one"):
        results.leaderboard(records, "training")
    with pytest.raises(InputError, match="did you mean 'PACS'"):
        results.leaderboard(records, "training", dataset="PASC")
    assert len(results.leaderboard(records, "training", dataset="VLCS")) == 2


def test_the_public_names_are_there():
    for name in results.__all__:
        assert callable(getattr(results, name))
    assert set(results.__all__) <= set(dir(results))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = results.lode
