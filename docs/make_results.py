"""Writes the tables and pictures of docs/results.md, and the README's table, from docs/results/.

    python docs/make_results.py                    the pages, from the files
    python docs/make_results.py --study photographs --sweep DIR
                                                   first take the finished runs in DIR
    python docs/make_results.py --ablation FILE    first take FILE, the contrast.csv of diagnose

A study is a sweep of sweeps/: `photographs` or `digits` (see studies.py). Runs that its file has
are replaced, so that a sweep can be run in parts. rerun_results.py makes some of them again.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from studies import (
    BOARD,
    DIGITS,
    DOCS,
    GROUPS,
    MEASURES,
    PHOTOGRAPHS,
    REFERENCE,
    STUDIES,
    Study,
    domain_names,
    read_machines,
)

from ndcl_domainbed.results import names, tables
from ndcl_domainbed.results.formats import render
from ndcl_domainbed.results.labels import base_algorithm, base_dataset
from ndcl_domainbed.results.statistics import build_cells, rank, warn_of_few_cells
from ndcl_domainbed.results.statistics import compare as compared
from ndcl_domainbed.results.tables import AVERAGE, Cell, CellSource, Table

ABLATION = DOCS / "results" / "ablation.csv"
DIFFERENCE = ("_minus_ndcl", "_minus_ndcl_error")
"""Ends of its columns: what a variant has more than NDCL as it is, and the standard error."""
PAGE = DOCS / "results.md"
README = DOCS.parent / "README.md"
PICTURES = DOCS / "pictures"
COLORS = {"many": "#0072B2", "medium": "#E69F00", "few": "#440154"}
IN_README = 6
"""Of how many algorithms the README shows the figures, besides ERM's and NDCL's."""


def take_ablation(table: Path) -> None:
    """Keep the variants of the table that `diagnose contrast` wrote."""
    found = pd.read_csv(table)
    columns = [name + end for name in MEASURES for end in ("", *DIFFERENCE)]
    found = found[found["part"] == "variant"][["variant", "runs", *columns]]
    found.to_csv(ABLATION, index=False, float_format="%.4f")


def ablation_table() -> str:
    """Return the variants of NDCL, each with what it has more than NDCL as it is."""
    table = pd.read_csv(ABLATION).set_index("variant")
    shown = ["overall", *GROUPS]
    columns = [names.METRIC_TITLES[name] for name in shown]
    rows = []
    for variant, figures in table.iterrows():
        texts = [f"{figures[name]:.1f}" for name in shown]
        if variant != REFERENCE:
            more = [[figures[name + end] for end in DIFFERENCE] for name in shown]
            texts = [
                f"{text} ({m:+.1f} ± {e:.1f})" for text, (m, e) in zip(texts, more, strict=True)
            ]
        rows.append((str(variant), [Cell(mean=float("nan"), text=text) for text in texts]))
    return _bare(render("markdown", [], [Table("statistics", {}, columns, rows)]))


class CommittedRuns(CellSource):
    """The runs of a study's file."""

    def count_runs(self, algorithm: str, env: int) -> int:
        """Return 1: one draw of the hyper-parameters, the defaults."""
        return 1

    def reason(self, algorithm: str, env: int) -> str:
        """Return why no record was chosen."""
        return "not run yet"


def board_table(here: pd.DataFrame, dataset: str) -> str:
    """Return the leaderboard of one board: by target, and by shot group."""
    algorithms = names.ordered_algorithms(here["algorithm"].unique())
    domains = domain_names(dataset)
    by_domain = tables.domain_rows(here, algorithms, len(domains), "overall", CommittedRuns())
    by_group = tables.measure_rows(
        here, algorithms, range(len(domains)), MEASURES[1:], CommittedRuns()
    )
    columns = [*domains, AVERAGE, *(names.METRIC_TITLES[name] for name in MEASURES[1:])]
    joined = [
        (name, [*one, *other]) for (name, one), (_, other) in zip(by_domain, by_group, strict=True)
    ]
    return _bare(render("markdown", [], [Table("domains", {}, columns, joined)]))


def overview(rows: pd.DataFrame, algorithms: Sequence[str] | None = None) -> str:
    """Return overall and Few under every setting of one dataset, best first.

    Of all ``algorithms``, or of some; the best of all is in bold.
    """
    shown = ["overall", "few"]
    cells = rows.groupby(["algorithm", "setting", "test_env"])[shown].mean() * 100
    means = cells.groupby(["algorithm", "setting"]).mean()
    average = means.groupby("algorithm").mean().sort_values("overall", ascending=False)
    settings = names.ordered(sorted(set(rows["setting"])), names.SETTINGS)
    lines = [
        (name, [average.loc[name], *(means.loc[(name, setting)] for setting in settings)])
        for name in average.index
    ]
    best = {
        (place, measure): max(f"{figures[place][measure]:.1f}".zfill(5) for _, figures in lines)
        for place in range(len(settings) + 1)
        for measure in shown
    }

    def text(place: int, measure: str, value: float) -> str:
        number = f"{value:.1f}"
        return f"**{number}**" if number.zfill(5) == best[place, measure] else number

    body = [
        [name, *(" / ".join(text(place, one, figures[one]) for one in shown)
                 for place, figures in enumerate(row))]
        for name, row in lines
        if algorithms is None or name in algorithms
    ]  # fmt: skip
    head = ["overall / Few", "mean", *settings]
    rule = [":--", *["--:"] * (len(settings) + 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])


def _bare(text: str) -> str:
    """Return rendered tables without what the page itself says: titles, and what bold means."""
    parts = [part for part in text.split("\n\n") if not part.startswith(("###", "Best in"))]
    return "\n\n".join(parts).strip()


def statistics_table(rows: pd.DataFrame, measure: str) -> str:
    """Return ranks of all, and NDCL against each, over the (setting, target) cells."""
    cells = build_cells(rows, measure)
    ranks = rank(cells.figures)
    against = {one.algorithm: one for one in compared(cells.figures, REFERENCE)}
    listed = []
    for name in ranks.ranks.sort_values().index:
        one = against.get(name)
        texts = [f"{ranks.ranks[name]:.2f}", f"{cells.figures[name].mean():.1f}"]
        texts += (
            [f"{one.difference:+.1f}", f"[{one.low:+.1f}, {one.high:+.1f}]",
             f"{one.wins}/{one.losses}", f"{one.p_holm:.2g}"]
            if one else ["-"] * 4
        )  # fmt: skip
        listed.append((name, [Cell(mean=float("nan"), text=text) for text in texts]))
    columns = ["Average rank", "Mean", "NDCL minus it", "95 % interval", "won/lost", "p (Holm)"]
    lines = [
        f"{ranks.n_cells} cells; Friedman p {ranks.p:.2g}; Nemenyi's critical difference of ranks "
        f"{ranks.critical_difference:.2f}.",
        *cells.dropped,
        *warn_of_few_cells(ranks.n_cells, len(listed)),
    ]
    return _bare(render("markdown", lines, [Table("statistics", {}, columns, listed)]))


def run_line(study: Study, rows: pd.DataFrame) -> str:
    """Return which runs are shown, and what made them."""
    shown = study.complete(rows)
    trials = [
        f"{base_dataset(dataset)} {setting}, {here['trial_seed'].nunique()}"
        for dataset, setting, here in study.boards(shown)
    ]
    machine = read_machines().get(study.name, {})
    return (
        f"**Shown: {len(shown):,} of the sweep's {len(study.jobs):,} runs** (trials: "
        f"{'; '.join(trials)}). A trial is shown once every algorithm has every target in it. Made "
        f"on: {', '.join(f'{name} {value}' for name, value in machine.items())}; a job has one "
        "thread."
    )


def generated(study: Study) -> dict[str, str]:
    """Return the parts of the page that come from the file of ``study``, by name."""
    rows = study.runs()
    shown = study.complete(rows)
    parts = {f"{study.name} runs": run_line(study, rows)}
    for dataset in names.ordered_datasets(shown["dataset"].unique()):
        here = shown[shown["dataset"] == dataset]
        boards = [
            f"### {base_dataset(dataset)}, {setting}\n\n{board_table(board, dataset)}"
            for _, setting, board in study.boards(here)
        ]
        name = f"{study.name} {base_dataset(dataset)}"
        parts |= {name: overview(here), f"{name} tables": "\n\n".join(boards)}
    for measure in ("overall", "few"):
        parts[f"{study.name} statistics {measure}"] = statistics_table(shown, measure)
    return parts


def pages() -> dict[Path, dict[str, str]]:
    """Return the parts that come from the files, by page."""
    parts = {name: part for study in STUDIES.values() for name, part in generated(study).items()}
    return {PAGE: parts | {"ablation": ablation_table()}, README: {"leaderboard": leaderboard()}}


def leaderboard() -> str:
    """Return the README's table: the best on PACS, NDCL and ERM, over all settings and targets."""
    rows = PHOTOGRAPHS.complete(PHOTOGRAPHS.runs())
    rows = rows[rows["dataset"].map(base_dataset) == "PACS"]
    cells = rows.groupby(["algorithm", *BOARD, "test_env"])["overall"].mean()
    means = cells.groupby("algorithm").mean().sort_values(ascending=False)
    always = [name for name in means.index if base_algorithm(name) in (REFERENCE, "ERM")]
    kept = {*means.index[:IN_README], *always}
    return overview(rows, [name for name in means.index if name in kept])


def filled(text: str, parts: dict[str, str]) -> str:
    """Return the page with its generated parts renewed; they stand between comments."""
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"no page has a place for '{name}'")
        text = pattern.sub(lambda match, part=part: f"{match[1]}\n{part}\n{match[2]}", text)
    return text


def draw_groups(study: Study, rows: pd.DataFrame, path: Path) -> None:
    """Draw Many, Medium and Few of every algorithm, a panel for each board."""
    boards = list(study.boards(rows))
    figure = Figure(figsize=(11, 1.2 + 2.6 * len(boards)), layout="constrained")
    panels = figure.subplots(len(boards), squeeze=False)[:, 0]
    for axes, (dataset, setting, here) in zip(panels, boards, strict=True):
        means = here.groupby("algorithm")[list(GROUPS)].mean() * 100
        means = means.sort_values("few", ascending=False)
        for shift, group in zip((-0.27, 0, 0.27), GROUPS, strict=True):
            places = [place + shift for place in range(len(means))]
            axes.bar(places, means[group], 0.25, color=COLORS[group], label=group.capitalize())
        axes.set_xticks(range(len(means)), means.index, rotation=40, ha="right", fontsize=8)
        for label in axes.get_xticklabels():
            is_ours = base_algorithm(label.get_text()) == REFERENCE
            label.set_fontweight("bold" if is_ours else "normal")
        axes.set_ylabel("accuracy, %")
        title = f"{base_dataset(dataset)}, {setting}: accuracy on the target by shot group"
        axes.set_title(title, fontsize=10)
        axes.margins(x=0.01)
        axes.set_ylim(0, 100)
        axes.legend(ncols=3, loc="upper right", fontsize=8)
    figure.savefig(path, dpi=80, metadata={"Software": None})


def draw_ranks(rows: pd.DataFrame, path: Path) -> None:
    """Draw the average ranks, overall and on Few, with the critical difference."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), ("overall", "few"), strict=True):
        found = rank(build_cells(rows, measure).figures)
        ranks = found.ranks.sort_values(ascending=False)
        is_ours = [base_algorithm(name) == REFERENCE for name in ranks.index]
        colors = ["#D55E00" if ours else "#0072B2" for ours in is_ours]
        axes.scatter(ranks, range(len(ranks)), c=colors, zorder=2)
        best = ranks.iloc[-1]
        axes.axvspan(best, best + found.critical_difference, color="#999999", alpha=0.25, zorder=0)
        axes.set_yticks(range(len(ranks)), ranks.index, fontsize=8)
        axes.set_xlabel("average rank (gray: not significantly worse than the best)")
        axes.set_title(f"{names.METRIC_TITLES[measure]}, {found.n_cells} cells", fontsize=10)
        axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=90, metadata={"Software": None})


def main() -> None:
    """Run the command."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--study", choices=list(STUDIES), default=DIGITS.name)
    flags.add_argument("--sweep", type=Path, metavar="DIR", help="runs of the study to take")
    flags.add_argument("--ablation", type=Path, metavar="FILE")
    options = flags.parse_args()
    if options.sweep:
        STUDIES[options.study].take(options.sweep)
    if options.ablation:
        take_ablation(options.ablation)
    for study in STUDIES.values():
        shown = study.complete(study.runs())
        if shown.empty:
            raise SystemExit(f"{study.file} holds no whole trial yet: resume the sweep.")
        draw_groups(study, shown, PICTURES / f"{study.name}_groups.png")
        draw_ranks(shown, PICTURES / f"{study.name}_ranks.png")
    for page, parts in pages().items():
        page.write_text(filled(page.read_text(encoding="utf-8"), parts), encoding="utf-8")


if __name__ == "__main__":
    main()
