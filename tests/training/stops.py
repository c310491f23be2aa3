"""Things that happen to a run at a given step, and not a moment sooner or later."""

import signal

from ndcl_domainbed.training.feed import BatchStream
from ndcl_domainbed.training.loop import Loop


def stop_at(*steps, patch=setattr):
    """Have this process get a SIGTERM whenever its runs come to one of ``steps``.

    Steps are counted over all runs. Returns the list of those made, which grows. ``patch`` is
    pytest's ``monkeypatch.setattr`` where this is to end with the test.
    """
    read, made = BatchStream.minibatches, []

    def read_and_stop(stream):
        made.append(len(made))
        if made[-1] in steps:
            signal.raise_signal(signal.SIGTERM)
        return read(stream)

    patch(BatchStream, "minibatches", read_and_stop)
    return made


def stop_in_splits(*numbers, patch):
    """Have this process get a SIGTERM as its runs begin to read the splits of these ``numbers``.

    Splits are counted over all evaluations of all runs; ``patch`` is ``monkeypatch.setattr``.
    """
    read, begun = BatchStream.split, []

    def read_and_stop(stream, index):
        begun.append(index)
        if len(begun) - 1 in numbers:
            signal.raise_signal(signal.SIGTERM)
        return read(stream, index)

    patch(BatchStream, "split", read_and_stop)


def around_update(step, *, before=None, after=None):
    """Have this process call ``before()`` and ``after()`` around the update of ``step``."""
    update = Loop._update

    def act_and_update(loop, now):
        if now == step and before:
            before()
        update(loop, now)
        if now == step and after:
            after()

    Loop._update = act_and_update
