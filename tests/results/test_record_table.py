import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from ndcl_domainbed.results.record_table import RUN_COLUMNS, RecordTable, join_tables


def make(counts: list[int], columns=("step", "env0_in_acc"), start=0.0) -> RecordTable:
    """Return a table: for each run its number of records; values count up."""
    rows = [
        (f"folder {start:g}/{run}", run, run, run, 0, 0, "", "{}") for run in range(len(counts))
    ]
    total = sum(counts)
    records = {name: start + i + 10.0 * np.arange(total) for i, name in enumerate(columns)}
    run = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return RecordTable(
        pd.DataFrame.from_records(rows, columns=RUN_COLUMNS), pd.DataFrame({"run": run, **records})
    )


def content(table: RecordTable) -> list[tuple]:
    """Return every record with the folder of its run."""
    folders = table.runs["folder"]
    return [
        (folders[int(row.pop("run"))], tuple(sorted((n, v) for n, v in row.items() if v == v)))
        for row in table.records.to_dict("records")
    ]


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.lists(st.integers(0, 4), max_size=6), st.randoms())
def test_runs_keep_their_records_when_some_are_taken_and_when_they_are_sorted(counts, random):
    table = make(counts)
    wanted = np.array([random.random() < 0.5 for _ in counts], dtype=bool)
    part = table.keep(wanted)
    folders = table.runs["folder"][wanted].tolist()
    assert part.runs["folder"].tolist() == folders
    assert content(part) == [one for one in content(table) if one[0] in folders]
    names = random.sample([f"{number:03}" for number in range(len(counts))], len(counts))
    shuffled = RecordTable(table.runs.assign(folder=names), table.records)
    assert content(shuffled.sort()) == sorted(content(shuffled), key=lambda one: one[0])


def test_joined_tables_keep_their_records_and_lack_what_they_lacked():
    first, second = make([2, 0, 1]), make([3], columns=("step", "few"), start=0.5)
    joined = join_tables([first, make([]), second])
    assert content(joined) == content(first) + content(second)
    assert joined.records["few"].isna().tolist() == [True] * 3 + [False] * 3
    assert len(join_tables([make([])]).runs) == 0
