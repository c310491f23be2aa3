"""Signals that come at a given step, and not a moment sooner or later."""

from __future__ import annotations

import signal

from ndcl_domainbed.training.feed import Feed


def stop_at(*steps, patch=setattr):
    """Have this process get a SIGTERM whenever its runs come to one of ``steps``.

    Steps are counted over all runs. Returns the list of those made, which grows. ``patch`` is
    pytest's ``monkeypatch.setattr`` where this is to end with the test.
    """
    read, made = Feed.minibatches, []

    def read_and_stop(feed):
        made.append(len(made))
        if made[-1] in steps:
            signal.raise_signal(signal.SIGTERM)
        return read(feed)

    patch(Feed, "minibatches", read_and_stop)
    return made
