"""Writes the tables and figures of the README and the guide that docs/results/ determines.

    python docs/make_results.py                    update the pages from the files
    python docs/make_results.py --comparison DIR [DIR ...]
                                                   first make the file of the big comparison from
                                                   the finished runs in these folders
    python docs/make_results.py --digits DIR       first import the finished runs of digits.yaml
    python docs/make_results.py --variants DIR     or of variants.yaml
    python docs/make_results.py --fine_tuned DIR   or of fine_tuned.yaml
    python docs/make_results.py --ablation FILE    first import FILE, the contrast.csv of diagnose

Imported runs replace those in the file, so a sweep can be run in parts. The comparison
(comparison.py) is made from what its folders have; rerun_results.py runs some of the runs again.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import beyond_tables
import comparison
import fine_tuned
import how_many_pictures
import how_many_runs
import pandas as pd
import result_pictures
import semi_tables
import variant_tables
from result_tables import (
    ABLATION,
    DIFFERENCE,
    ablation_table,
    board_table,
    columns_of_dataset,
    leaderboard,
    overview,
    statistics_table,
    winners,
)
from studies import DIGITS, DOCS, MEASURES, iterate_boards, read_machines

from ndcl_domainbed.results import names
from ndcl_domainbed.results.labels import base_dataset

PAGE = DOCS / "results.md"
README = DOCS.parent / "README.md"
README_ROWS = 10
"""Rows of its table, beside the baseline."""
PICTURES = DOCS / "pictures"


def import_ablation(table: Path) -> None:
    """Copy the variants from the table that `diagnose contrast` wrote."""
    found = pd.read_csv(table)
    columns = [name + end for name in MEASURES for end in ("", *DIFFERENCE)]
    found = found[found["part"] == "variant"][["variant", "runs", *columns]]
    found.to_csv(ABLATION, index=False, float_format="%.4f")


def digits_line(rows: pd.DataFrame) -> str:
    """Return which runs of digits are shown."""
    trials = [
        f"{base_dataset(dataset)} {setting}, {here['trial_seed'].nunique()}"
        for dataset, setting, here in iterate_boards(rows)
    ]
    return (
        f"**Shown: {len(rows):,} of the sweep's {len(DIGITS.jobs):,} runs** (trials: "
        f"{'; '.join(trials)}). A trial is shown once every algorithm has every target in it. "
        f"{machine_line(DIGITS.name)}"
    )


def machine_line(study: str) -> str:
    """Return the machine on which the runs of a study were made."""
    machine = ", ".join(f"{name} {value}" for name, value in read_machines()[study].items())
    return f"Made on: {machine}; a job has one thread."


def build_parts(name: str, rows: pd.DataFrame) -> dict[str, str]:
    """Return the parts of the page that the selected runs ``rows`` determine, by name."""
    parts = {}
    for dataset in names.ordered_datasets(rows["dataset"].unique()):
        here = rows[rows["dataset"] == dataset]
        boards = [
            f"### {base_dataset(dataset)}, {setting}\n\n{board_table(board, dataset)}"
            for _, setting, board in iterate_boards(here)
        ]
        title = f"{name} {base_dataset(dataset)}"
        parts |= {
            title: overview(here, columns_of_dataset(here, dataset)),
            f"{title} tables": "\n\n".join(boards),
        }
    for measure in ("overall", "few"):
        parts[f"{name} statistics {measure}"] = statistics_table(rows, measure)
    return parts


def select_photographs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what the tables and pictures of the comparison show."""
    return comparison.select(comparison.keep_shared_draws(runs))


def photograph_parts(runs: pd.DataFrame, selected: pd.DataFrame) -> dict[str, str]:
    """Return the parts of the page on photographs, from the file of the comparison."""
    return {
        "photographs runs": f"{comparison.describe(runs)} {machine_line(comparison.NAME)}",
        "photographs winners": winners(selected),
        "photographs all": leaderboard(selected),
        **build_parts("photographs", selected),
    }


def pages(runs: pd.DataFrame, found: how_many_runs.Findings) -> dict[Path, dict[str, str]]:
    """Return the parts that the files determine, by page; ``runs`` are those of the comparison."""
    photographs = select_photographs(runs)
    digits = DIGITS.whole_trials(DIGITS.runs())
    parts = {
        "digits runs": digits_line(digits),
        **build_parts("digits", digits),
        **photograph_parts(runs, photographs),
        **variant_tables.build_parts(),
        **fine_tuned.build_parts(runs),
        "ablation": ablation_table(),
    }
    return {
        PAGE: parts,
        README: {
            "leaderboard": leaderboard(photographs, best=README_ROWS),
            "draws": comparison.describe_shared_draws(runs),
        },
        how_many_runs.PAGE: how_many_runs.build_parts(runs, found),
        beyond_tables.PAGE: beyond_tables.build_parts(),
        semi_tables.PAGE: semi_tables.build_parts(),
    }


def fill_in(text: str, parts: dict[str, str]) -> str:
    """Return the page with its generated parts, which stand between comments, replaced."""
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"the page lacks '<!-- {name} -->' and '<!-- end -->' after it")
        text = pattern.sub(lambda match, part=part: f"{match[1]}\n{part}\n{match[2]}", text)
    return text


def draw_pictures(runs: pd.DataFrame, found: how_many_runs.Findings) -> None:
    """Draw the pictures of all pages."""
    photographs = select_photographs(runs)
    studies = {"photographs": photographs, DIGITS.name: DIGITS.whole_trials(DIGITS.runs())}
    for name, rows in studies.items():
        result_pictures.draw_groups(rows, PICTURES / f"{name}_groups.png")
        result_pictures.draw_ranks(rows, PICTURES / f"{name}_ranks.png")
    result_pictures.draw_overview(photographs, PICTURES / "photographs.png")
    how_many_pictures.draw_pictures(found, PICTURES)


def main() -> None:
    """Run the command."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--comparison", type=Path, nargs="+", metavar="DIR")
    flags.add_argument("--digits", type=Path, metavar="DIR")
    flags.add_argument("--variants", type=Path, metavar="DIR")
    flags.add_argument("--fine_tuned", type=Path, metavar="DIR")
    flags.add_argument("--ablation", type=Path, metavar="FILE")
    options = flags.parse_args()
    if options.comparison:
        print(comparison.write_file(options.comparison))
    if options.digits:
        DIGITS.import_runs(options.digits)
    if options.variants:
        variant_tables.import_runs(options.variants)
    if options.fine_tuned:
        fine_tuned.FINE_TUNED.import_runs(options.fine_tuned)
    if options.ablation:
        import_ablation(options.ablation)
    runs = comparison.read_file()
    found = how_many_runs.Findings(runs)
    draw_pictures(runs, found)
    for page, parts in pages(runs, found).items():
        page.write_text(fill_in(page.read_text(encoding="utf-8"), parts), encoding="utf-8")


if __name__ == "__main__":
    main()
