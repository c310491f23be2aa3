"""The pictures of the README and of docs/results.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from studies import BOARD, GROUPS, REFERENCE, iterate_boards

from ndcl_domainbed.results import names
from ndcl_domainbed.results.cells import build_cells
from ndcl_domainbed.results.labels import base_algorithm, base_dataset
from ndcl_domainbed.results.rank_diagram import draw_on
from ndcl_domainbed.results.statistics import average_ranks

COLORS = {"overall": "#0072B2", "many": "#0072B2", "medium": "#E69F00", "few": "#440154"}


def save(figure: Figure, path: Path, dpi: int = 80) -> None:
    """Write a figure, the same bytes each time."""
    figure.savefig(path, dpi=dpi, metadata={"Software": None})


def emphasize_ours(axes: Axes, axis: str) -> None:
    """Print the names of NDCL and its variants in bold."""
    for label in getattr(axes, f"get_{axis}ticklabels")():
        is_ours = base_algorithm(label.get_text()) == REFERENCE
        label.set_fontweight("bold" if is_ours else "normal")


def draw_groups(rows: pd.DataFrame, path: Path) -> None:
    """Draw Many, Medium and Few of every algorithm, a panel for each board."""
    boards = list(iterate_boards(rows))
    figure = Figure(figsize=(11, 1.2 + 2.6 * len(boards)), layout="constrained")
    panels = figure.subplots(len(boards), squeeze=False)[:, 0]
    for axes, (dataset, setting, here) in zip(panels, boards, strict=True):
        means = here.groupby("algorithm")[list(GROUPS)].mean() * 100
        means = means.sort_values("few", ascending=False)
        for shift, group in zip((-0.27, 0, 0.27), GROUPS, strict=True):
            places = [place + shift for place in range(len(means))]
            axes.bar(places, means[group], 0.25, color=COLORS[group], label=group.capitalize())
        axes.set_xticks(range(len(means)), means.index, rotation=40, ha="right", fontsize=8)
        emphasize_ours(axes, "x")
        axes.set_ylabel("accuracy, %")
        title = f"{base_dataset(dataset)}, {setting}: accuracy on the target by shot group"
        axes.set_title(title, fontsize=10)
        axes.margins(x=0.01)
        axes.set_ylim(0, 100)
        axes.legend(ncols=3, loc="upper right", fontsize=8)
    save(figure, path)


def draw_ranks(rows: pd.DataFrame, path: Path) -> None:
    """Draw the average ranks, overall and on Few, with bars over what does not differ."""
    figure = Figure(figsize=(9, 11), layout="constrained")
    for axes, measure in zip(figure.subplots(2, 1), ("overall", "few"), strict=True):
        cells = build_cells(rows, measure)
        draw_on(axes, average_ranks(cells.figures), cells.p, REFERENCE)
        title = f"{names.METRIC_TITLES[measure]}: average ranks over {len(cells.figures)} cells"
        axes.set_title(title, fontsize=10)
    save(figure, path)


def draw_overview(rows: pd.DataFrame, path: Path) -> None:
    """Draw overall and Few of every algorithm, a panel for each dataset, with single settings."""
    cells = rows.groupby(["algorithm", *BOARD, "test_env"])[["overall", "few"]].mean() * 100
    means = cells.groupby(["algorithm", *BOARD]).mean()
    listed = means["overall"].groupby("algorithm").mean().sort_values().index
    datasets = names.ordered_datasets(rows["dataset"].unique())
    figure = Figure(figsize=(9, 1.4 + 0.24 * len(listed)), layout="constrained")
    panels = figure.subplots(1, len(datasets), sharey=True, squeeze=False)[0]
    for axes, dataset in zip(panels, datasets, strict=True):
        for measure, shift in (("overall", 0.14), ("few", -0.14)):
            table = means.xs(dataset, level="dataset")[measure].unstack("setting").reindex(listed)
            places = [place + shift for place in range(len(listed))]
            style = {"color": COLORS[measure], "markersize": 5}
            for setting in table.columns:
                axes.plot(table[setting], places, "|", alpha=0.6, **style)
            label = f"{names.METRIC_TITLES[measure]}, mean and single settings"
            axes.plot(table.mean(axis=1), places, "o", label=label, **style)
        axes.set_yticks(range(len(listed)), listed, fontsize=8)
        emphasize_ours(axes, "y")
        axes.grid(axis="y", linewidth=0.3)
        axes.set_xlabel("accuracy on the target, %")
        axes.set_title(base_dataset(dataset), fontsize=10)
        axes.margins(y=0.01)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    save(figure, path, dpi=110)
