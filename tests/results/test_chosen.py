import sys

import pandas as pd
import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.results import read_sweep, select
from ndcl_domainbed.results.chosen import every_run, selected_hparams, table_path, write_table
from ndcl_domainbed.results.leaderboards import Leaderboards
from tests.results.builder import record, write_run


@pytest.fixture
def sweep(tmp_path):
    for draw, (score, lr) in enumerate([(0.5, 0.1), (0.7, 0.01)]):
        for algorithm in ("ERM", "NDCL"):
            hparams = {"lr": lr, "mixed": 1 if draw else "auto", "sizes": [1, draw]}
            hparams |= {"mixup": True} if algorithm == "NDCL" else {}
            shares = {"0_in": 0.2, "0_out": 0.3, "1_in": 0.4, "1_out": score}
            made = record(
                5, shares, test_envs=[0], algorithm=algorithm, hparams_seed=draw, hparams=hparams
            )
            write_run(tmp_path / f"{algorithm}{draw}", [made])
    return read_sweep(tmp_path)


def test_the_chosen_draws_come_with_their_hparams(sweep):
    chosen = [Leaderboards(name, select(sweep.frame(), name)) for name in ("training", "oracle")]
    table = selected_hparams(sweep, chosen)
    assert table["selection"].tolist() == ["training", "training", "oracle", "oracle"]
    assert table["hparams_seed"].tolist() == [1, 1, 1, 1]
    assert table["hparams.lr"].tolist() == [0.01] * 4
    assert table["hparams.sizes"].tolist() == ["[1, 1]"] * 4
    assert table["hparams.mixup"].isna().tolist() == [True, False, True, False]


def test_parquet_is_written_or_says_what_it_needs(sweep, tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    write_table(every_run(sweep, ["training"]), path)
    again = pd.read_parquet(path)
    assert sorted(again["hparams.mixed"]) == ["1", "1", "auto", "auto"]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="pip install pyarrow"):
        write_table(every_run(sweep, ["training"]), path)
        assert again["hparams.lr"].tolist() == every_run(sweep, ["training"])["hparams.lr"].tolist()


def test_other_kinds_of_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.csv or \.parquet"):
        table_path("table.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        write_table(pd.DataFrame(), tmp_path / "file" / "table.csv")
