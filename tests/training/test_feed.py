"""One loader reads all that a run needs, in order, whatever its number of processes."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.training.batches import StepBatches
from ndcl_domainbed.training.feed import Feed, Item, Source, evaluation_batch_size, plan
from tests.training.noisy_images import NoisyImages

CPU = torch.device("cpu")


def _source(splits=((0, 5, 3), range(7)), images=None):
    images = images or NoisyImages(20)
    domains = [Subset(images, range(9)), Subset(images, range(20))]
    unlabelled = StepBatches([Subset(images, range(4))], 4, seed=6)
    return Source(StepBatches(domains, 8, seed=5), unlabelled,
                  [Subset(images, list(s)) for s in splits], batch_size=3)  # fmt: skip


def _items(source, first=0, evaluate_first=False):
    is_checkpoint = {0: True, 3: True}.get
    return plan(
        source, range(first, 5), lambda s: is_checkpoint(s, False), evaluate_first=evaluate_first
    )


def _everything(workers, **options):
    """Return all that a run reads, as the run would ask for it."""
    source, found = _source(), []
    evaluate = options.get("evaluate_first", False)
    with Feed(source, _items(source, **options), workers, CPU) as feed:
        for step in range(options.get("first", 0), 5):
            if evaluate:
                found += [xy for split in range(2) for xy in feed.split(split)]
            labelled, unlabelled = feed.minibatches()
            found += [*labelled, unlabelled]
            evaluate = step in (0, 3)
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


def test_a_run_that_goes_on_reads_the_rest():
    whole, rest = _everything(0), _everything(0, first=4, evaluate_first=True)
    assert len(rest) == 4 + 3  # the batches of two splits, then those of a step
    assert _equal(rest, whole[-7:])


def test_the_order_is_steps_and_at_checkpoints_all_splits():
    evaluation = [Item(0, 0), Item(1, 0), Item(1, 3), Item(1, 6)]
    steps = [Item(None, step) for step in range(5)]
    source = _source()
    assert list(_items(source)) == [*steps[:1], *evaluation, *steps[1:4], *evaluation, steps[4]]
    assert list(_items(source, 4, evaluate_first=True)) == [*evaluation, steps[4]]


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_split_is_read_once_and_mixed_but_always_in_the_same_order(in_memory):
    labels = torch.arange(60) // 20
    images = TensorDataset(torch.arange(60.0), labels) if in_memory else NoisyImages(60)
    source = _source([range(60)], images)
    source.batch_size = 20

    def read():
        return [source[Item(0, start)] for start in source.starts(0)]

    first = read()
    if in_memory:
        assert sorted(torch.cat([x for x, _ in first]).tolist()) == list(range(60))
    assert all(len(y.unique()) == 3 for _, y in first)  # no batch of a single class
    torch.rand(3)
    assert _equal(first, read())


def test_an_empty_split_has_no_batches():
    source = _source([[]])
    with Feed(source, [], 0, CPU) as feed:
        assert list(feed.split(0)) == []


def test_large_images_are_evaluated_in_domainbeds_batches():
    assert evaluation_batch_size((3, 224, 224)) == 64
    assert evaluation_batch_size((3, 28, 28)) == 256
    assert 64 < evaluation_batch_size((3, 150, 150)) < 256


class _Broken(NoisyImages):
    def __getitem__(self, index):
        raise InputError("cannot read the image 7.png.\nReplace it.")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_loader_process_keeps_its_own_message(workers):
    source = _source(images=_Broken(20))
    with (
        Feed(source, _items(source), workers, CPU) as feed,
        pytest.raises(InputError) as error,
    ):
        feed.minibatches()
    assert str(error.value) == "cannot read the image 7.png.\nReplace it."


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError(104, "Connection reset by peer"), FileNotFoundError(2, "No such file"),
     EOFError()],
)  # fmt: skip
def test_a_broken_connection_to_a_loader_process_is_the_death_of_that(error):
    source = _source()
    with Feed(source, _items(source), 1, CPU) as feed:
        rest, feed._read = feed._read, _raising(error)
        with pytest.raises(RuntimeError, match=r"^DataLoader worker does not answer: "):
            feed.minibatches()
        feed._read = rest
    with Feed(source, [], 0, CPU) as feed, pytest.raises(type(error)):
        feed._read = _raising(error)
        feed.minibatches()


def _raising(error):
    yield from ()
    raise error


class _Unplugged(NoisyImages):
    def __getitem__(self, index):
        raise OSError("the disk was unplugged")


def test_an_error_of_the_data_set_is_not_put_down_to_the_loader_process():
    source = _source(images=_Unplugged(20))
    with Feed(source, _items(source), 1, CPU) as feed, pytest.raises(OSError, match="unplugged"):
        feed.minibatches()


def test_a_loader_process_that_was_killed_is_noticed():
    source = _source()
    for _ in range(5):
        with Feed(source, _items(source), 1, CPU) as feed:
            (process,) = _loader_processes(feed)
            os.kill(process, signal.SIGKILL)
            with pytest.raises(RuntimeError, match=r"^DataLoader worker"):
                for _ in range(5):
                    feed.minibatches()


def _loader_processes(feed):
    return [worker.pid for worker in feed._read._workers]


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_loader_processes_end_with_the_feed_even_after_an_error_that_is_kept():
    source = _source(images=_Broken(20))
    with Feed(source, _items(source), 2, CPU) as feed, pytest.raises(InputError) as error:
        processes = _loader_processes(feed)
        feed.minibatches()
    assert error.value.__context__ is not None
    assert len(processes) == 2
    assert not any(map(_runs, processes))


def test_loader_processes_leave_signals_to_the_run():
    source = _source()
    with Feed(source, _items(source), 1, CPU) as feed:
        feed.minibatches()
        for number in (signal.SIGTERM, signal.SIGINT):
            for process in _loader_processes(feed):
                os.kill(process, number)
        assert len(list(feed.split(0))) == 1
        assert len(list(feed.split(1))) == 3
