"""Memory that a step frees is there for the next one."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from ndcl_domainbed.training.environment import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("no glibc")
def step():
    for _ in range(20):
        blocks = [torch.ones(2**20) for _ in range(4)]  # 4 MiB each
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": str(128 * 2**10)}
"""Blocks of 128 KiB or more come from the system and go back to it. That is how glibc begins; left
alone it moves the limit as it goes, so what it does with a block depends on those before it."""


def _faults(how):
    outcome = subprocess.run(
        [sys.executable, "-c", FAULTS, how],
        capture_output=True,
        text=True,
        env=os.environ | GIVES_BACK,
    )
    if "no glibc" in outcome.stderr:
        pytest.skip("the C library is not glibc")
    assert outcome.returncode == 0, outcome.stderr
    return int(outcome.stdout)


def test_freed_memory_is_not_faulted_in_again():
    as_it_is = _faults("as it is")
    assert as_it_is >= 20 * 4  # one of a huge page at least for each block
    assert _faults("keep") * 10 < as_it_is
