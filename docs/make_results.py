"""Writes the tables of docs/results.md, and its pictures, from docs/results/digits.csv.

    python docs/make_results.py                  the page and its pictures, from the CSV file
    python docs/make_results.py --sweep DIR      first take the finished runs in DIR into that file
    python docs/make_results.py --ablation FILE  first take FILE, the contrast.csv of diagnose

The sweep is the one of sweeps/digits.yaml. Runs that the file has already are replaced, so that
the sweep can be run in parts; but all runs in it are of one kind of machine (machine.json), since
another one may give other numbers: taking a run made elsewhere begins the file anew. A row is a run
at the step that balanced validation selects. rerun_results.py makes some of the runs again.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pandas as pd
import yaml
from matplotlib.figure import Figure

from ndcl_domainbed.results import names, tables
from ndcl_domainbed.results.chosen import every_run
from ndcl_domainbed.results.formats import render
from ndcl_domainbed.results.reading import read_sweep
from ndcl_domainbed.results.statistics import cells_of, rank, warnings
from ndcl_domainbed.results.statistics import compare as compared
from ndcl_domainbed.results.tables import AVERAGE, Cell, Table

DOCS = Path(__file__).parent
FILE = DOCS / "results" / "digits.csv"
MACHINE = DOCS / "results" / "machine.json"
ABLATION = DOCS / "results" / "ablation.csv"
DIFFERENCE = ("_minus_ndcl", "_minus_ndcl_error")
"""Ends of its columns: what a variant has more than NDCL as it is, and the standard error."""
PAGE = DOCS / "results.md"
README = DOCS.parent / "README.md"
SWEEP = DOCS.parent / "sweeps" / "digits.yaml"
PICTURES = DOCS / "pictures"
DOMAINS = names.ENVIRONMENTS["DigitsDG"]
GROUPS = ("many", "medium", "few")
MEASURES = ("overall", *GROUPS, "balanced", "worst")
RUN = ["setting", "algorithm", "test_env", "trial_seed"]
COLOURS = {"many": "#0072B2", "medium": "#E69F00", "few": "#440154"}
REFERENCE = "NDCL"


def take(sweep: Path) -> None:
    """Put the finished runs of ``sweep`` into the file."""
    found = every_run(read_sweep([str(sweep)]), ["balanced"])[[*RUN, "step", *MEASURES]]
    found = found.astype({"step": int})
    here = this_machine()
    is_same = MACHINE.exists() and json.loads(MACHINE.read_text(encoding="utf-8")) == here
    earlier = pd.read_csv(FILE) if is_same and FILE.exists() else found[:0]
    rows = pd.concat([earlier, found]).drop_duplicates(RUN, keep="last").sort_values(RUN)
    FILE.parent.mkdir(exist_ok=True)
    rows.to_csv(FILE, index=False, float_format="%.15g")  # all digits: equal means stay equal
    MACHINE.write_text(json.dumps(here, indent=2) + "\n", encoding="utf-8")


def this_machine() -> dict[str, str]:
    """Return what the last digits of a run's numbers depend on."""
    from ndcl_domainbed.training.environment import describe_environment

    found = describe_environment()
    return {name: found[name].partition("+")[0] for name in ("CPU", "PyTorch", "NumPy")}


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


def runs() -> pd.DataFrame:
    """Return the runs in the file."""
    return pd.read_csv(FILE).assign(dataset="DigitsDG")


def complete(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the (setting, trial) in which every algorithm has every target."""
    wanted = len(yaml.safe_load(SWEEP.read_text(encoding="utf-8"))["algorithms"]) * len(DOMAINS)
    return rows[rows.groupby(["setting", "trial_seed"])["overall"].transform("size") == wanted]


class Behind:
    """What tables ask of the runs behind a cell."""

    def runs(self, algorithm: str, env: int) -> int:
        """Return 1: one draw of the hyper-parameters, the defaults."""
        return 1

    def reason(self, algorithm: str, env: int, metric: str | None) -> str:
        """Return why there is no figure."""
        return "not run yet" if metric is None else tables.NO_CLASS


def setting_tables(rows: pd.DataFrame, setting: str) -> str:
    """Return the leaderboard of one setting: by target, and by shot group."""
    here = rows[rows["setting"] == setting]
    algorithms = names.ordered_algorithms(here["algorithm"].unique())
    envs = range(len(DOMAINS))
    by_domain = tables.domain_rows(here, algorithms, len(DOMAINS), "overall", Behind())
    by_group = tables.measure_rows(here, algorithms, envs, MEASURES[1:], Behind())
    columns = [*DOMAINS, AVERAGE, *(names.METRIC_TITLES[name] for name in MEASURES[1:])]
    joined = [
        (name, [*one, *other]) for (name, one), (_, other) in zip(by_domain, by_group, strict=True)
    ]
    text = _bare(render("markdown", [], [Table("domains", {}, columns, joined)]))
    return text.replace(" ± 0.0", "") if here["trial_seed"].nunique() == 1 else text


def _bare(text: str) -> str:
    """Return rendered tables without what the page itself says: titles, and what bold means."""
    parts = [part for part in text.split("\n\n") if not part.startswith(("###", "Best in"))]
    return "\n\n".join(parts).strip()


def statistics_table(rows: pd.DataFrame, measure: str) -> str:
    """Return ranks of all, and NDCL against each, over the (setting, target) cells."""
    cells = cells_of(rows, measure)
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
        *warnings(ranks.n_cells, len(listed)),
    ]
    return _bare(render("markdown", lines, [Table("statistics", {}, columns, listed)]))


def generated(rows: pd.DataFrame) -> dict[str, str]:
    """Return the parts of the page that come from the file, by name."""
    shown = complete(rows)
    settings = names.ordered(sorted(set(shown["setting"])), names.SETTINGS)
    boards = [f"## {name}\n\n{setting_tables(shown, name)}" for name in settings]
    parts = {"tables": "\n\n".join(boards)}
    for measure in ("overall", "few"):
        parts[f"statistics {measure}"] = statistics_table(shown, measure)
    parts["ablation"] = ablation_table()
    machine = json.loads(MACHINE.read_text(encoding="utf-8"))
    trials = shown.groupby("setting")["trial_seed"].nunique()
    listed = ", ".join(f"{name}, {count} of 3 trials" for name, count in trials.items())
    parts["runs"] = (
        f"**Shown: {len(shown)} of the sweep's 792 runs** ({listed}). The file has {len(rows)}; a "
        "trial is shown once every algorithm has every target in it. Made on: "
        f"{', '.join(f'{name} {value}' for name, value in machine.items())}; a job has one thread."
    )
    return parts


def pages(rows: pd.DataFrame) -> dict[Path, dict[str, str]]:
    """Return the parts that come from the file, by page."""
    return {PAGE: generated(rows), README: {"leaderboard": leaderboard(rows)}}


def leaderboard(rows: pd.DataFrame) -> str:
    """Return the README's table: the best four, NDCL and ERM, over all settings and targets."""
    shown = ["overall", *GROUPS]
    cells = complete(rows).groupby(["algorithm", "setting", "test_env"])[shown].mean()
    means = cells.groupby("algorithm").mean().sort_values("overall", ascending=False) * 100
    chosen = [
        *means.index[:4],
        *(name for name in (REFERENCE, "ERM") if name not in means.index[:4]),
    ]
    return str(means.loc[chosen].rename(columns=names.METRIC_TITLES).to_markdown(floatfmt=".1f"))


def filled(text: str, parts: dict[str, str]) -> str:
    """Return the page with its generated parts renewed; they stand between comments."""
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"no page has a place for '{name}'")
        text = pattern.sub(lambda match, part=part: f"{match[1]}\n{part}\n{match[2]}", text)
    return text


def draw_groups(rows: pd.DataFrame, path: Path) -> None:
    """Draw Many, Medium and Few of every algorithm, a panel for each setting."""
    settings = names.ordered(sorted(set(rows["setting"])), names.SETTINGS)
    figure = Figure(figsize=(11, 1.2 + 2.6 * len(settings)), layout="constrained")
    panels = figure.subplots(len(settings), squeeze=False)[:, 0]
    for axes, setting in zip(panels, settings, strict=True):
        means = rows[rows["setting"] == setting].groupby("algorithm")[list(GROUPS)].mean() * 100
        means = means.sort_values("few", ascending=False)
        for shift, group in zip((-0.27, 0, 0.27), GROUPS, strict=True):
            places = [place + shift for place in range(len(means))]
            axes.bar(places, means[group], 0.25, color=COLOURS[group], label=group.capitalize())
        axes.set_xticks(range(len(means)), means.index, rotation=40, ha="right", fontsize=8)
        for label in axes.get_xticklabels():
            label.set_fontweight("bold" if label.get_text() == REFERENCE else "normal")
        axes.set_ylabel("accuracy, %")
        axes.set_title(f"{setting}: accuracy on the target by shot group", fontsize=10)
        axes.margins(x=0.01)
        axes.set_ylim(0, 100)
        axes.legend(ncols=3, loc="upper right", fontsize=8)
    figure.savefig(path, dpi=90, metadata={"Software": None})


def draw_ranks(rows: pd.DataFrame, path: Path) -> None:
    """Draw the average ranks, overall and on Few, with the critical difference."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), ("overall", "few"), strict=True):
        found = rank(cells_of(rows, measure).figures)
        ranks = found.ranks.sort_values(ascending=False)
        colours = ["#D55E00" if name == REFERENCE else "#0072B2" for name in ranks.index]
        axes.scatter(ranks, range(len(ranks)), c=colours, zorder=2)
        best = ranks.iloc[-1]
        axes.axvspan(best, best + found.critical_difference, color="#999999", alpha=0.25, zorder=0)
        axes.set_yticks(range(len(ranks)), ranks.index, fontsize=8)
        axes.set_xlabel("average rank (grey: not significantly worse than the best)")
        axes.set_title(f"{names.METRIC_TITLES[measure]}, {found.n_cells} cells", fontsize=10)
        axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=90, metadata={"Software": None})


def main() -> None:
    """Run the command."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--sweep", type=Path, metavar="DIR")
    flags.add_argument("--ablation", type=Path, metavar="FILE")
    args = flags.parse_args()
    if args.sweep:
        take(args.sweep)
    if args.ablation:
        take_ablation(args.ablation)
    rows = runs()
    if complete(rows).empty:
        raise SystemExit(f"{FILE} holds no whole trial of a setting yet: go on with the sweep.")
    for page, parts in pages(rows).items():
        page.write_text(filled(page.read_text(encoding="utf-8"), parts), encoding="utf-8")
    draw_groups(complete(rows), PICTURES / "digits_groups.png")
    draw_ranks(complete(rows), PICTURES / "digits_ranks.png")


if __name__ == "__main__":
    main()
