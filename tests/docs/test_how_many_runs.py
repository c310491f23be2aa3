"""The page on draws and trials says what its runs say, by other code."""

import itertools
import random
import re
import statistics
from pathlib import Path

import budgets
import comparison
import how_many_runs
import numpy as np
import pandas as pd
import pytest

from tests.docs import plain_study as plain

DOCS = Path(__file__).parents[2] / "docs"
TRIALS = (0, 1, 2)
PAGE = (DOCS / "how_many_runs.md").read_text(encoding="utf-8")


def shown(part):
    """Return the rows of a table of the page, title -> cell, of each row."""
    text = PAGE.split(f"<!-- {part} -->")[1].split("<!-- end -->")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


@pytest.fixture(scope="module")
def boards():
    return plain.first_choices()


@pytest.fixture(scope="module")
def longest(boards):
    return plain.most_draws(boards)


def test_one_trial_against_all_runs(longest):
    full = plain.together(longest, TRIALS)
    row = shown("budgets")[-2]
    singles = [plain.together(longest, [trial]) for trial in TRIALS]
    taus = [plain.kendall(one, full) for one in singles]
    assert float(row["tau"].split()[0]) == pytest.approx(statistics.mean(taus), abs=0.006)
    top = sorted(full, key=full.get)[-3:]
    share = sum(max(one, key=one.get) in top for one in singles) / 3
    assert row["first in top 3"] == f"{100 * share:.0f}\u00a0%"
    for (dataset, setting), board in longest.items():
        whole = plain.outcome(board, TRIALS)
        taus = [plain.kendall(plain.outcome(board, [trial]), whole) for trial in TRIALS]
        figure = float(row[f"{dataset} {setting}"])
        assert figure == pytest.approx(statistics.mean(taus), abs=0.006)


def test_what_the_budgets_cost_and_select(longest):
    cells = sum(len(board) for board in longest.values())
    for row in shown("budgets"):
        trials, draws = int(row["trials"]), int(row["draws"].split(",")[0])
        assert int(row["runs"].replace(",", "")) == cells // 3 * trials * draws
    last = statistics.mean(plain.together(longest, TRIALS).values())
    assert float(row["accuracy"]) == pytest.approx(last, abs=0.051)


def test_two_trials_and_the_differences_that_they_resolve(longest):
    full = plain.together(longest, TRIALS)
    best = sorted(full, key=full.get)[-10:]
    defaults, last = shown("noise")[0], shown("noise")[-1]
    for row, allowed in ((defaults, {trial: {0} for trial in TRIALS}), (last, None)):
        singles = [plain.together(longest, [trial], allowed) for trial in TRIALS]
        taus = [plain.kendall(*pair) for pair in itertools.combinations(singles, 2)]
        assert float(row["tau"].split()[0]) == pytest.approx(statistics.mean(taus), abs=0.006)
        assert float(row["error"]) == pytest.approx(plain.error(singles, full), abs=0.006)
        error = plain.error(singles, best)
        assert float(row["error, best 10"]) == pytest.approx(error, abs=0.006)
        resolved = 1.96 * error / 3**0.5
        assert float(row["resolved, 3 trials"]) == pytest.approx(resolved, abs=0.051)


def test_smaller_budgets_by_other_draws(longest):
    rng, full = random.Random(1), plain.together(longest, TRIALS)
    count = plain.count_draws(next(iter(longest.values())))
    rows = [row for row in shown("budgets") if row["trials"] == "3"]
    sizes = {row["draws"]: row for row in rows if row["draws"].isdigit()}
    for size, row in [(int(size), row) for size, row in sizes.items() if int(size) < count]:
        results = [
            plain.together(longest, TRIALS, plain.sample(count, size, rng)) for _ in range(60)
        ]
        taus = [plain.kendall(result, full) for result in results]
        doubt = 4 * statistics.stdev(taus) * (1 / 60 + 1 / budgets.RESAMPLES) ** 0.5
        figure = float(row["tau"].split()[0])
        assert figure == pytest.approx(statistics.mean(taus), abs=0.006 + doubt)


def test_criteria(longest):
    titles = {title: name for name, title in how_many_runs.CRITERIA.items()}
    rows = shown("criteria")
    runs = {row["tau"]: plain.first_choices(titles[row["tau"]]) for row in rows}
    common = None  # the draws that every run has under every criterion
    for boards, name in itertools.product(runs.values(), longest):
        for cell in boards[name].values():
            draws = {draw for draw, _ in cell}
            common = draws if common is None else common & draws
    allowed = dict.fromkeys(TRIALS, common)
    assert (
        f"criteria: {len(common)}." in PAGE.split("<!-- criteria -->")[1].split("<!-- end -->")[0]
    )
    figures = {
        title: {name: plain.outcome(boards[name], TRIALS, allowed) for name in longest}
        for title, boards in runs.items()
    }
    for row, title in itertools.product(rows, figures):
        mine, other = figures[row["tau"]], figures[title]
        tau = statistics.mean(plain.kendall(mine[name], other[name]) for name in longest)
        assert float(row[title]) == pytest.approx(tau, abs=0.006)


def test_datasets_and_settings(boards):
    common = set.intersection(
        *({draw for draw, _ in runs} for board in boards.values() for runs in board.values())
    )
    allowed = dict.fromkeys(TRIALS, common)
    names = {" ".join(name): name for name in boards}
    for row in shown("boards"):
        for title, name in names.items():
            pair = [boards[names[row["tau"]]], boards[name]]
            *whole, single = re.findall(r"-?[\d.]+", row[title])
            taus = [
                plain.kendall(plain.outcome(pair[0], [a], allowed),
                              plain.outcome(pair[1], [b], allowed))
                for a, b in itertools.permutations(TRIALS, 2)
            ]  # fmt: skip
            assert float(single) == pytest.approx(statistics.mean(taus), abs=0.006)
            if whole:
                tau = plain.kendall(*(plain.outcome(board, TRIALS, allowed) for board in pair))
                assert float(whole[0]) == pytest.approx(tau, abs=0.006)


def test_every_figure_of_the_conclusions_is_in_a_table():
    text = PAGE.split("<!-- conclusions -->")[1].split("<!-- end -->")[0]
    first, second, third, *_ = [line for line in text.splitlines() if line.startswith("-")]
    budgets_shown, noise = shown("budgets"), shown("noise")
    assert f"tau {noise[0]['tau'].split()[0]} at the defaults" in first
    assert f"{noise[0]['resolved, 3 trials']} points at the defaults" in second
    assert f"with tau {budgets_shown[1]['tau'].split()[0]}," in third


def synthetic(draws=6, digits=1, seed=0):
    """Return runs of five algorithms, four boards, three targets and trials; scores often tie."""
    rng = np.random.default_rng(seed)
    keys = itertools.product(
        ["PACS", "Office31"], ["Cross", "Duality"], "abcde", range(3), TRIALS, range(draws), (0, 50)
    )
    rows = pd.DataFrame(list(keys), columns=[*comparison.DRAW, "step"])
    skill = rows["algorithm"].map(dict(zip("abcde", range(5), strict=True))) / 10
    for name in comparison.SCORES:
        rows[name] = (skill + rng.random(len(rows))).round(digits)
    rows["overall"] = skill / 2 + rng.random(len(rows)) / 2
    return rows.assign(few=rows["overall"], seconds=2.0)


def test_what_is_selected_among_some_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(plain, "FILE", tmp_path / "runs.parquet")
    runs = synthetic()
    runs.to_parquet(plain.FILE)
    rng = random.Random(0)
    for criterion in comparison.CRITERIA:
        wanted = plain.first_choices(criterion)
        for board in budgets.build_boards(runs, criterion):
            for size in (1, 3, 6):
                allowed = {trial: sorted(rng.sample(range(6), size)) for trial in TRIALS}
                results = board.results(np.array([allowed[trial] for trial in TRIALS]))
                for trial in TRIALS:
                    single = plain.outcome(wanted[board.dataset, board.setting], [trial], allowed)
                    assert dict(zip(board.rows, results[:, trial], strict=True)) == (
                        pytest.approx(single)
                    )


def test_random_draws_have_the_defaults_first_and_differ_by_trial():
    rng = np.random.default_rng(0)
    sampled = np.array([budgets.sample_draws(20, 5, 3, rng) for _ in range(300)])
    assert sampled.shape == (300, 3, 5)
    assert (sampled[..., 0] == 0).all()
    assert (np.diff(sampled) > 0).all()
    counts = np.bincount(sampled[..., 1:].ravel(), minlength=20)[1:]
    assert counts.min() > 0.7 * counts.mean()  # each of 19 about as often
    assert (sampled[:, 0] != sampled[:, 1]).any(axis=-1).mean() > 0.9


def test_more_draws_and_trials_agree_better_with_all_runs():
    found = how_many_runs.Budgets(synthetic(draws=20, digits=3))
    assert [budget.name for budget in found.sizes] == [
        "1, the defaults",
        "1, drawn",
        "5",
        "10",
        "20",
    ]
    full = found.full.mean(axis=(0, 2))
    taus = {
        (budget.name, trials): budgets.agreement(budget.results.mean(axis=1), full, trials)
        for budget in found.sizes
        for trials in (1, 3)
    }
    assert taus["20", 3] == pytest.approx([1])
    assert taus["5", 3].mean() > taus["5", 1].mean()
    assert taus["10", 3].mean() > taus["1, drawn", 3].mean()
    assert len(taus["5", 1]) == 3 * budgets.RESAMPLES


def test_a_page_of_defaults_alone_and_of_runs_without_a_criterion():
    runs = synthetic(draws=1)
    runs["score_worst_class"] = np.nan
    found = how_many_runs.Findings(runs)
    assert found.criteria.names == ["balanced", "training", "oracle"]
    assert found.criteria.tau.diagonal() == pytest.approx(1)
    assert "nan" not in how_many_runs.conclusions(found)
