"""Memory that a step frees is there for the next one."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from ndcl_domainbed.training.memory import keep_freed_memory
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


def _faults(how):
    outcome = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True)
    if "no glibc" in outcome.stderr:
        pytest.skip("the C library is not glibc")
    return int(outcome.stdout)


def test_freed_memory_is_not_faulted_in_again():
    assert _faults("keep") * 10 < _faults("as it is")
