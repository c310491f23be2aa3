from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndcl_domainbed.results.store import Store


def make(rows_by_file: list[list[int]], columns=("step", "env0_in_acc"), start=0.0) -> Store:
    """Return a store: for each file the numbers of records of its runs; values count up."""
    runs = [(file, rows) for file, several in enumerate(rows_by_file) for rows in several]
    total = sum(rows for _, rows in runs)
    n_files = len(rows_by_file)
    return Store(
        folders=[f"folder {start:g}/{file}" for file in range(n_files)],
        keys=np.arange(3 * n_files, dtype=np.int64).reshape(n_files, 3),
        bad_lines=np.arange(n_files, dtype=np.int64),
        run_files=np.array([file for file, _ in runs], dtype=np.int64),
        metas=[b'{"run":%d}' % number for number in range(len(runs))],
        run_rows=np.array([rows for _, rows in runs], dtype=np.int64),
        columns={name: start + i + 10.0 * np.arange(total) for i, name in enumerate(columns)},
    )


def content(store: Store) -> list[tuple]:
    """Return every record with the file and run that it belongs to."""
    at, found = 0, []
    for file, meta, rows in zip(
        store.run_files.tolist(), store.metas, store.run_rows.tolist(), strict=True
    ):
        for row in range(at, at + rows):
            values = {name: float(values[row]) for name, values in store.columns.items()}
            known = {name: value for name, value in values.items() if value == value}
            found.append((store.folders[file], meta, tuple(sorted(known.items()))))
        at += rows
    return found


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.lists(st.integers(1, 4), max_size=3), max_size=6), st.randoms())
def test_take_gives_the_records_of_the_files_in_their_order(rows, random):
    store = make(rows)
    files = random.sample(range(len(rows)), random.randint(0, len(rows)))
    part = store.take(np.array(files, dtype=np.int64))
    expected = [one for file in files for one in content(store) if one[0] == store.folders[file]]
    assert content(part) == expected
    assert part.bad_lines.tolist() == files


def test_joined_stores_keep_their_records_and_lack_what_they_lacked():
    first = make([[2], [1, 1]])
    second = make([[3]], columns=("step", "few"), start=0.5)
    joined = Store.joined([first, Store(), second])
    assert content(joined) == content(first) + content(second)
    assert np.isnan(joined.columns["few"][:4]).all()


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.lists(st.lists(st.integers(1, 4), max_size=3), max_size=4))
def test_what_is_written_is_read(rows):
    store = make(rows)
    file = io.BytesIO()
    store.write(file, "head")
    file.seek(0)
    again = Store.read(file, "head")
    assert again is not None
    assert content(again) == content(store)
    assert (again.keys == store.keys).all()


@pytest.mark.parametrize("damage", ["cut", "flip", "header", "other", "empty"])
def test_a_damaged_archive_is_not_read(damage):
    file = io.BytesIO()
    make([[200], [3]]).write(file, "head")
    data = bytearray(file.getvalue())
    if damage == "cut":
        data = data[: len(data) // 2]
    if damage == "flip":
        data[data.index(b"column:step") + 900] ^= 255
    if damage == "other":
        data = bytearray(b"not an archive at all")
    if damage == "empty":
        data = bytearray()
    header = "other" if damage == "header" else "head"
    assert Store.read(io.BytesIO(bytes(data)), header) is None


def test_arrays_that_do_not_fit_together_are_not_read():
    store = make([[2]])
    store.columns["step"] = np.zeros(3)
    file = io.BytesIO()
    store.write(file)
    file.seek(0)
    assert Store.read(file) is None
