"""The two pictures of docs/how_many_runs.md."""

from __future__ import annotations

from pathlib import Path

import budgets
import numpy as np
from how_many_runs import CRITERIA, RESOLVED, Budgets, Findings
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from result_pictures import save


def draw_pictures(found: Findings, folder: Path) -> None:
    """Draw what more draws and trials bring, and how far criteria and settings agree."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    agreement, resolved = figure.subplots(1, 2)
    draw_agreement(agreement, found.budgets)
    draw_resolved(resolved, found.budgets)
    save(figure, folder / "how_many_draws.png", dpi=100)
    figure = Figure(figsize=(11, 5), layout="constrained")
    boards, criteria = figure.subplots(1, 2, width_ratios=[3, 2])
    titles = found.boards.titles
    draw_matrix(boards, found.boards.single, titles, "tau of one trial each, other splits")
    titles = [CRITERIA[name] for name in found.criteria.names]
    draw_matrix(criteria, found.criteria.tau, titles, "tau of two criteria, same runs")
    save(figure, folder / "how_many_boards.png", dpi=100)


def draw_agreement(axes: Axes, found: Budgets) -> None:
    """Draw tau with the ranking by all runs, by draws, for one trial and all."""
    for trials, color in ((1, "#E69F00"), (found.trials, "#0072B2")):
        each = [budgets.agreement(*found.views(one.results)[0], trials) for one in found.sizes]
        means = np.array([values.mean() for values in each])
        bounds = np.array([np.quantile(values, [0.05, 0.95]) for values in each]).T
        word = "1 trial" if trials == 1 else f"{trials} trials"
        axes.errorbar(
            range(len(each)),
            means,
            abs(bounds - means),
            fmt="o-",
            capsize=3,
            color=color,
            label=word,
        )
    axes.set_xticks(range(len(found.sizes)), [budget.name for budget in found.sizes])
    axes.set_xlabel("draws of the hyper-parameters")
    axes.set_ylabel("Kendall's tau with the ranking by all runs")
    axes.set_ylim(None, 1.02)
    axes.grid(linewidth=0.3)
    axes.legend()


def draw_resolved(axes: Axes, found: Budgets) -> None:
    """Draw the smallest difference that is more than noise, by trials."""
    trials = np.arange(1, 31)
    for number, budget in enumerate(found.sizes):
        color = f"C{number}"
        resolved = RESOLVED * found.error(budget) / np.sqrt(trials)
        axes.plot(trials, resolved, color=color, label=f"draws: {budget.name}")
    axes.axvline(found.trials, color="gray", linewidth=0.8, linestyle=":")
    axes.set_xlabel("trials")
    axes.set_ylabel("difference that is resolved, points")
    axes.set_ylim(0, None)
    axes.grid(linewidth=0.3)
    axes.legend()


def draw_matrix(axes: Axes, values: np.ndarray, titles: list[str], title: str) -> None:
    """Draw a matrix of tau with its figures."""
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        color = "white" if value > 0.6 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(len(titles)), titles, rotation=40, ha="right", fontsize=9)
    axes.set_yticks(range(len(titles)), titles, fontsize=9)
    axes.set_title(title, fontsize=10)
