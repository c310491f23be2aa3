"""Writes the tables and figures of docs/results.md, and the README's table, from docs/results/.

    python docs/make_results.py                    update the pages from the files
    python docs/make_results.py --study photographs --sweep DIR
                                                   first import the finished runs in DIR
    python docs/make_results.py --ablation FILE    first import FILE, the contrast.csv of diagnose

A study is a sweep of sweeps/: `photographs` or `digits` (see studies.py). Imported runs replace
those in its file, so a sweep can be run in parts. rerun_results.py runs some of them again.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import beyond_tables
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
from ndcl_domainbed.results.cells import build_cells
from ndcl_domainbed.results.formats import render
from ndcl_domainbed.results.labels import base_algorithm, base_dataset
from ndcl_domainbed.results.rank_diagram import draw_on
from ndcl_domainbed.results.statistics import average_ranks, compare, summarize
from ndcl_domainbed.results.statistics_tables import (
    describe_cells,
    statistics_rows,
    text_row,
    warn_of_few_cells,
)
from ndcl_domainbed.results.tables import AVERAGE, CellSource, Table

ABLATION = DOCS / "results" / "ablation.csv"
DIFFERENCE = ("_minus_ndcl", "_minus_ndcl_error")
"""Suffixes of its columns: a variant's difference to plain NDCL, and its standard error."""
PAGE = DOCS / "results.md"
README = DOCS.parent / "README.md"
PICTURES = DOCS / "pictures"
COLORS = {"many": "#0072B2", "medium": "#E69F00", "few": "#440154"}
IN_README = 6
"""How many of the best algorithms the README shows, besides ERM and NDCL."""


def import_ablation(table: Path) -> None:
    """Copy the variants from the table that `diagnose contrast` wrote."""
    found = pd.read_csv(table)
    columns = [name + end for name in MEASURES for end in ("", *DIFFERENCE)]
    found = found[found["part"] == "variant"][["variant", "runs", *columns]]
    found.to_csv(ABLATION, index=False, float_format="%.4f")


def ablation_table() -> str:
    """Return the variants of NDCL, each with its difference to plain NDCL."""
    table = pd.read_csv(ABLATION).set_index("variant")
    shown = ["overall", *GROUPS]
    columns = [names.METRIC_TITLES[name] for name in shown]
    rows = []
    for variant, figures in table.iterrows():
        cells = [f"{figures[name]:.1f}" for name in shown]
        if variant != REFERENCE:
            gaps = [[figures[name + end] for end in DIFFERENCE] for name in shown]
            cells = [
                f"{cell} ({gap:+.1f} ± {error:.1f})"
                for cell, (gap, error) in zip(cells, gaps, strict=True)
            ]
        rows.append(text_row(str(variant), cells))
    return _strip_headings(render("markdown", [], [Table("statistics", {}, columns, rows)]))


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
    return _strip_headings(render("markdown", [], [Table("domains", {}, columns, joined)]))


def overview(rows: pd.DataFrame, algorithms: Sequence[str] | None = None) -> str:
    """Return overall and Few under every setting of one dataset, the best algorithm first.

    Shows ``algorithms``, or all; bold marks the best of all.
    """
    cells = rows.groupby(["algorithm", "setting", "test_env"])[["overall", "few"]].mean() * 100
    means = cells.groupby(["algorithm", "setting"]).mean().unstack("setting")
    settings = names.order(sorted(set(rows["setting"])), names.SETTINGS)
    columns = ["mean", *settings]
    tables = [
        pd.DataFrame(means[measure]).assign(mean=means[measure].mean(axis=1))
        for measure in ("overall", "few")
    ]
    listed = tables[0].sort_values("mean", ascending=False).index
    shown = [name for name in listed if algorithms is None or name in algorithms]

    def describe(name: str, column: str) -> str:
        figures = [(table.at[name, column], table[column].max()) for table in tables]
        pairs = [(f"{figure:.1f}", f"{best:.1f}") for figure, best in figures]
        return " / ".join(f"**{figure}**" if figure == best else figure for figure, best in pairs)

    body = [[name, *(describe(name, column) for column in columns)] for name in shown]
    head = ["overall / Few", *columns]
    rule = [":--", *["--:"] * len(columns)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])


def _strip_headings(text: str) -> str:
    """Return rendered tables without what the page itself has: titles, and what bold means."""
    parts = [part for part in text.split("\n\n") if not part.startswith(("###", "Best in"))]
    return "\n\n".join(parts).strip()


def statistics_table(rows: pd.DataFrame, measure: str) -> str:
    """Return ranks of all, and NDCL against each, over the (setting, target) cells."""
    cells = build_cells(rows, measure)
    compared = compare(cells, REFERENCE)
    summaries = sorted(summarize(cells), key=lambda one: one.rank)
    columns, listed = statistics_rows(summaries, compared, REFERENCE)
    lines = [f"{describe_cells(cells)}.", *cells.dropped, *warn_of_few_cells(cells)]
    return _strip_headings(render("markdown", lines, [Table("statistics", {}, columns, listed)]))


def run_line(study: Study, rows: pd.DataFrame) -> str:
    """Return which runs are shown, and on which machine they ran."""
    shown = study.whole_trials(rows)
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


def build_parts(study: Study) -> dict[str, str]:
    """Return the parts of the page that the file of ``study`` determines, by name."""
    rows = study.runs()
    shown = study.whole_trials(rows)
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
    """Return the parts that the files determine, by page."""
    parts = {name: part for study in STUDIES.values() for name, part in build_parts(study).items()}
    return {
        PAGE: parts | {"ablation": ablation_table()},
        README: {"leaderboard": leaderboard()},
        beyond_tables.PAGE: beyond_tables.build_parts(),
    }


def leaderboard() -> str:
    """Return the README's table: the best on PACS, NDCL and ERM, over all settings and targets."""
    rows = PHOTOGRAPHS.whole_trials(PHOTOGRAPHS.runs())
    rows = rows[rows["dataset"].map(base_dataset) == "PACS"]
    cells = rows.groupby(["algorithm", *BOARD, "test_env"])["overall"].mean()
    means = cells.groupby("algorithm").mean().sort_values(ascending=False)
    always = [name for name in means.index if base_algorithm(name) in (REFERENCE, "ERM")]
    kept = {*means.index[:IN_README], *always}
    return overview(rows, [name for name in means.index if name in kept])


def fill_in(text: str, parts: dict[str, str]) -> str:
    """Return the page with its generated parts, which stand between comments, replaced."""
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"the page lacks '<!-- {name} -->' and '<!-- end -->' after it")
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
    """Draw the average ranks, overall and on Few, with bars over what does not differ."""
    figure = Figure(figsize=(9, 11), layout="constrained")
    for axes, measure in zip(figure.subplots(2, 1), ("overall", "few"), strict=True):
        cells = build_cells(rows, measure)
        draw_on(axes, average_ranks(cells.figures), cells.p, REFERENCE)
        title = f"{names.METRIC_TITLES[measure]}: average ranks over {len(cells.figures)} cells"
        axes.set_title(title, fontsize=10)
    figure.savefig(path, dpi=80, metadata={"Software": None})


def main() -> None:
    """Run the command."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--study", choices=list(STUDIES), default=DIGITS.name)
    flags.add_argument(
        "--sweep", type=Path, metavar="DIR", help="finished runs of the study to import"
    )
    flags.add_argument("--ablation", type=Path, metavar="FILE")
    options = flags.parse_args()
    if options.sweep:
        STUDIES[options.study].import_runs(options.sweep)
    if options.ablation:
        import_ablation(options.ablation)
    for study in STUDIES.values():
        shown = study.whole_trials(study.runs())
        if shown.empty:
            raise SystemExit(
                f"{study.file} holds no whole trial yet: resume the sweep, then import it again."
            )
        draw_groups(study, shown, PICTURES / f"{study.name}_groups.png")
        draw_ranks(shown, PICTURES / f"{study.name}_ranks.png")
    for page, parts in pages().items():
        page.write_text(fill_in(page.read_text(encoding="utf-8"), parts), encoding="utf-8")


if __name__ == "__main__":
    main()
