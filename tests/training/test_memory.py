"""Memory that a step frees is there for the next one."""

import ctypes
import resource
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

from ndcl_domainbed.training.environment import keep_freed_memory
from tests.training.processes import CONTEXT

M_MMAP_THRESHOLD = -3


def _step():
    for _ in range(20):
        _ = [torch.ones(2**20) for _ in range(4)]  # 4 MiB each


def _count_faults():
    """Return the faults of a step as glibc begins, and of one that keeps what was freed.

    Blocks of 128 KiB or more come from the system and go back to it at first. Left alone, glibc
    moves this limit, so that what it does with a block depends on those before it.
    """
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 2**10)
    found = []
    for prepare in (lambda: True, keep_freed_memory):
        if prepare():
            _step()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            _step()
            found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return found


def test_freed_memory_is_not_faulted_in_again():
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("the C library is not glibc")
    with ProcessPoolExecutor(1, mp_context=CONTEXT) as pool:  # Pool.terminate may wait forever
        as_it_is, kept = pool.submit(_count_faults).result()
    assert as_it_is >= 20 * 4  # one of a huge page at least for each block
    assert kept * 10 < as_it_is
