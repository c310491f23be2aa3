"""The comparison's file read and resampled by plain loops, to check the pages made from it."""

import functools
import itertools
import math
import random
from collections import defaultdict
from pathlib import Path

import pandas as pd

FILE = Path(__file__).parents[2] / "docs" / "results" / "comparison.parquet"


def first_choices(criterion="balanced", measure="overall"):
    """Return (dataset, setting) -> (algorithm, target, trial) -> [(draw, percent)], best first.

    One entry per run, at its own best step.
    """
    return _first_choices(FILE, criterion, measure)


@functools.cache
def _first_choices(file, criterion, measure):
    rows = pd.read_parquet(file)
    found = defaultdict(lambda: defaultdict(dict))
    names = ["dataset", "setting", "algorithm", "test_env", "trial_seed", "hparams_seed", "step"]
    scores = [f"score_{criterion}", "score_balanced", measure]
    for *key, draw, step, score, second, value in rows[names + scores].itertuples(index=False):
        if math.isnan(score):
            continue
        dataset, setting, algorithm, target, trial = key
        runs = found[dataset.split()[0], setting][algorithm, target, trial]
        wish = (score, second if criterion == "worst_class" else 0, draw, -step)
        if draw not in runs or runs[draw][0] < wish:
            runs[draw] = (wish, 100 * value)
    return {
        board: {
            cell: [(draw, value) for draw, (_, value) in
                   sorted(runs.items(), key=lambda run: run[1][0], reverse=True)]
            for cell, runs in cells.items()
        }
        for board, cells in found.items()
    }  # fmt: skip


def count_draws(board):
    """Return how many draws each cell of a board has."""
    (count,) = {len(runs) for runs in board.values()}
    return count


def shared_draws(boards, trials=(0, 1, 2)):
    """Return trial -> the draws that all boards have."""
    draws = range(min(map(count_draws, boards.values())))
    return dict.fromkeys(trials, draws)


def most_draws(boards):
    """Return the boards that have the most draws."""
    most = max(map(count_draws, boards.values()))
    return {name: board for name, board in boards.items() if count_draws(board) == most}


def outcome(board, trials, allowed=None):
    """Return algorithm -> mean over targets and ``trials``; ``allowed``: trial -> draws."""
    values = defaultdict(list)
    for (algorithm, _, trial), runs in board.items():
        if trial in trials:
            chosen = next(value for draw, value in runs if not allowed or draw in allowed[trial])
            values[algorithm].append(chosen)
    return {algorithm: sum(each) / len(each) for algorithm, each in values.items()}


def together(boards, trials, allowed=None):
    """Return algorithm -> mean over boards, of the algorithms that all boards have."""
    each = [outcome(board, trials, allowed) for board in boards.values()]
    common = set.intersection(*map(set, each))
    return {name: sum(one[name] for one in each) / len(each) for name in sorted(common)}


def kendall(one, other):
    """Return Kendall's tau-b of two mappings, over the names that both have."""
    both = sorted(one.keys() & other.keys())
    agree = ties_one = ties_other = pairs = 0
    for a, b in itertools.combinations(both, 2):
        left = (one[a] > one[b]) - (one[a] < one[b])
        right = (other[a] > other[b]) - (other[a] < other[b])
        agree += left * right
        ties_one += left == 0
        ties_other += right == 0
        pairs += 1
    return agree / math.sqrt((pairs - ties_one) * (pairs - ties_other))


def sample(count, size, rng: random.Random, trials=(0, 1, 2)):
    """Return trial -> draws: the defaults and random others."""
    return {trial: {0, *rng.sample(range(1, count), size - 1)} for trial in trials}


def error(per_trial, names):
    """Return the root mean square of the differences' deviations; ``per_trial``: of one resample.

    A list over trials of name -> figure.
    """
    squares = []
    for a, b in itertools.combinations(names, 2):
        gaps = [one[a] - one[b] for one in per_trial]
        mean = sum(gaps) / len(gaps)
        squares.append(sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1))
    return math.sqrt(sum(squares) / len(squares))
