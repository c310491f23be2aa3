from __future__ import annotations

import sys

import numpy as np
import pytest

from ndcl_domainbed.results import parallel
from ndcl_domainbed.results.folders import find_runs
from ndcl_domainbed.results.store import parsed_store
from tests.results.builder import random_sweep


def equal(first, second):
    assert first.folders == second.folders
    assert first.metas == second.metas
    assert (first.keys == second.keys).all()
    assert (first.run_files == second.run_files).all()
    assert first.columns.keys() == second.columns.keys()
    for name, values in first.columns.items():
        np.testing.assert_array_equal(values, second.columns[name])


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "LEAST_BYTES", 1)
    return find_runs(random_sweep(tmp_path, draws=1, trials=2, pairs=False)).files


def test_several_processes_give_what_one_gives(files):
    equal(parallel.parse_files(files, cores=3), parsed_store(files))


def test_more_processes_than_files(files):
    equal(parallel.parse_files(files[:1], cores=3), parsed_store(files[:1]))


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/program"])
def test_a_worker_that_fails_costs_time_only(files, monkeypatch, program):
    monkeypatch.setattr(sys, "executable", program)
    equal(parallel.parse_files(files, cores=2), parsed_store(files))


def test_little_work_is_done_here(files, monkeypatch):
    monkeypatch.setattr(parallel, "LEAST_BYTES", 10**9)
    monkeypatch.setattr(parallel, "_start", lambda share: pytest.fail("a process was started"))
    equal(parallel.parse_files(files, cores=8), parsed_store(files))
