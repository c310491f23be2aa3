"""One loader reads all that a run needs, in order, whatever its number of processes."""

import os
import pickle
import signal
import subprocess
import sys

import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from imbalance_splits.discovery import OWN_CODE
from ndcl_domainbed.errors import InputError
from ndcl_domainbed.testbed import datasets
from ndcl_domainbed.training.batches import StepBatches
from ndcl_domainbed.training.feed import (
    BatchStream,
    RunReader,
    evaluation_batch_size,
    plan_tasks,
)
from tests.training.noisy_images import NoisyImages

CPU = torch.device("cpu")


def _reader(splits=((0, 5, 3), range(7)), images=None, **options):
    images = images or NoisyImages(20)
    domains = [Subset(images, range(9)), Subset(images, range(20))]
    unlabeled = StepBatches([Subset(images, range(4))], 4, seed=6)
    return RunReader(StepBatches(domains, 8, seed=5), unlabeled,
                     [Subset(images, list(s)) for s in splits], 3, **options)  # fmt: skip


def _tasks(first=0, evaluate_first=None):
    return plan_tasks(range(first, 5), {0, 3}.__contains__, evaluate_first)


def _stream(reader=None, workers=0, tasks=None):
    return BatchStream(reader or _reader(), _tasks() if tasks is None else tasks, workers, CPU)


def _everything(workers, **options):
    """Return all that a run reads, as the run would ask for it."""
    found = []
    with _stream(workers=workers, tasks=_tasks(**options)) as stream:
        for task in stream.tasks:
            if task.is_evaluation:
                found += [xy for split in range(2) for xy in stream.split(split)]
            else:
                labeled, unlabeled = stream.minibatches()
                found += [*labeled, unlabeled]
    return found


def _equal(a, b):
    return len(a) == len(b) and all(
        torch.equal(one, other)
        for left, right in zip(a, b, strict=True)
        for one, other in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_processes_do_not_change_what_is_read(workers):
    assert _equal(_everything(0), _everything(workers))


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_split_is_read_once_and_mixed_but_always_in_the_same_order(in_memory):
    labels = torch.arange(60) // 20
    images = TensorDataset(torch.arange(60.0), labels) if in_memory else NoisyImages(60)

    def read(**limit):
        reader = _reader([range(60)], images, **limit)
        reader.batch_size = 20
        return [reader[item] for item in reader.items_of_split(0)]

    first = read()
    if in_memory:
        assert sorted(torch.cat([x for x, _ in first]).tolist()) == list(range(60))
    assert all(len(y.unique()) == 3 for _, y in first)  # no batch of a single class
    torch.rand(3)
    assert _equal(first, read())
    (x, y), (last, _) = read(limit=25)
    assert _equal([(x, y)], first[:1])
    assert torch.equal(last, first[1][0][:5])


def test_an_empty_split_has_no_batches():
    with _stream(_reader([[]])) as stream:
        assert list(stream.split(0)) == []


def test_large_images_are_evaluated_in_domainbeds_batches():
    assert evaluation_batch_size((3, 224, 224)) == 64
    assert evaluation_batch_size((3, 28, 28)) == 256
    assert 64 < evaluation_batch_size((3, 150, 150)) < 256


class _Broken(NoisyImages):
    def __getitem__(self, index):
        raise InputError("cannot read the image 7.png.\nReplace it.")


class _Unplugged(NoisyImages):
    def __getitem__(self, index):
        raise OSError("the disk was unplugged")


def test_an_error_of_the_dataset_is_not_put_down_to_the_loader_process():
    with (
        _stream(_reader(images=_Unplugged(20)), 1) as stream,
        pytest.raises(OSError, match="unplugged"),
    ):
        stream.minibatches()


def _loader_processes(stream):
    return [worker.pid for worker in stream._read._workers]


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_loader_processes_end_with_the_stream_even_after_an_error_that_is_kept():
    reader = _reader(images=_Broken(20))
    with _stream(reader, 2) as stream, pytest.raises(InputError) as error:
        processes = _loader_processes(stream)
        stream.minibatches()
    assert error.value.__context__ is not None
    assert len(processes) == 2
    assert not any(map(_runs, processes))


def test_loader_processes_leave_signals_to_the_run():
    with _stream(workers=1) as stream:
        stream.minibatches()
        for number in (signal.SIGTERM, signal.SIGINT):
            for process in _loader_processes(stream):
                os.kill(process, number)
        assert len(list(stream.split(0))) == 1
        assert len(list(stream.split(1))) == 3


OWN = """
import torch
from ndcl_domainbed.testbed.datasets.base import MultiDomainDataset

class Domain(torch.utils.data.Dataset):
    targets = [0, 1]

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.zeros(3), index

class Own(MultiDomainDataset):
    ENVIRONMENTS = ["a", "b", "c"]
"""


def test_a_spawned_loader_process_reads_a_dataset_of_a_users_own_file(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.setenv(OWN_CODE, str(tmp_path / "own.py"))
    module = sys.modules[datasets.classes()["Own"].__module__]
    subset = Subset(module.Domain(), range(2))
    reader = RunReader(StepBatches([subset], 2, 0), StepBatches([], 2, 0), [subset], 2)
    code = "import pickle, sys; print(len(pickle.load(sys.stdin.buffer).splits[0]))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(reader), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"2\n"), done.stderr
