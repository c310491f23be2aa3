"""What the studies of the guide share: the runs of a sweep, boards of them, machines, and digits.

A row of ``docs/results/digits.csv`` is one run, at the step that balanced validation selects. The
runs on photographs are in ``comparison.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ndcl_domainbed.results import names
from ndcl_domainbed.results.chosen import every_run
from ndcl_domainbed.results.identity import identity, name_rows
from ndcl_domainbed.results.labels import base_dataset
from ndcl_domainbed.results.reading import read_sweep
from ndcl_domainbed.sweeping.flags import parse

DOCS = Path(__file__).parent
SWEEPS = DOCS.parent / "sweeps"
MACHINES = DOCS / "results" / "machine.json"
GROUPS = ("many", "medium", "few")
MEASURES = ("overall", *GROUPS, "balanced", "worst")
BOARD = ["dataset", "setting"]
RUN = [*BOARD, "algorithm", "test_env", "trial_seed"]
DRAW = [*RUN, "hparams_seed"]
REFERENCE = "NDCL"


def list_jobs(sweep: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of every run of a sweep's file, by the columns of ``DRAW``."""
    words = ["launch", "--sweep", str(sweep), "--data_dir", "-", "--output_dir", "-"]
    every = [args for grid in parse(words)[1] for args in grid.train_args()]
    found = [identity(args) for args in every]
    rows = [(row.dataset, row.setting, row.algorithm) for row in name_rows(found)]
    runs = [(one.test_env, one.trial_seed, one.hparams_seed) for one in found]
    return {(*row, *run): args for row, run, args in zip(rows, runs, every, strict=True)}


def iterate_boards(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield dataset, setting and the runs of each board, in the order of tables."""
    for dataset in names.ordered_datasets(rows["dataset"].unique()):
        of_dataset = rows[rows["dataset"] == dataset]
        for setting in names.order(sorted(set(of_dataset["setting"])), names.SETTINGS):
            yield dataset, setting, of_dataset[of_dataset["setting"] == setting]


@dataclass(frozen=True)
class Study:
    """A sweep of ``sweeps/NAME.yaml``, and ``docs/results/NAME.csv`` with its runs."""

    name: str

    @property
    def sweep(self) -> Path:
        """The file of the sweep."""
        return SWEEPS / f"{self.name}.yaml"

    @property
    def file(self) -> Path:
        """The file of the runs."""
        return DOCS / "results" / f"{self.name}.csv"

    @cached_property
    def jobs(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        """The arguments of every run of the sweep, by the columns of ``RUN``."""
        return {key[:-1]: args for key, args in list_jobs(self.sweep).items()}

    def runs(self) -> pd.DataFrame:
        """Return the runs in the file."""
        return pd.read_csv(self.file)

    def whole_trials(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the runs of those trials of each board in which no run is missing."""
        listed = pd.DataFrame(list(self.jobs), columns=RUN)
        wanted = listed.groupby([*BOARD, "trial_seed"]).size().rename("wanted")
        there = rows.groupby([*BOARD, "trial_seed"])["overall"].transform("size")
        merged = rows.join(wanted, on=[*BOARD, "trial_seed"])
        return rows[(there == merged["wanted"]).to_numpy()]

    def import_runs(self, folder: Path) -> None:
        """Copy the finished runs of the sweep in ``folder`` into the file.

        They replace those that the file has. All runs in a file come from one kind of machine,
        since another may give other numbers: runs from another machine start the file over.
        """
        found = read_finished(folder)
        found = found[[tuple(row) in self.jobs for row in found[RUN].itertuples(index=False)]]
        is_same = read_machines().get(self.name) == this_machine() and self.file.exists()
        rows = replace_runs(self.runs() if is_same else found[:0], found)
        rows.to_csv(self.file, index=False, float_format="%.15g")  # equal means stay equal
        write_machine(self.name)


def read_finished(folder: Path, variants: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the finished runs of the sweep in ``folder``, each at the step that is selected.

    ``variants``: the evaluations that are rows as well, as for ``read_sweep``.
    """
    sweep = read_sweep([str(folder)], variants=variants)
    found = every_run(sweep, ["balanced"])[[*RUN, "step", *MEASURES]]
    return found.astype({"step": int, "dataset": str, "setting": str, "algorithm": str})


def replace_runs(there: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return the runs ``there`` and those ``found``, which replace the same ones, in order."""
    rows = pd.concat([there, found])
    return rows.drop_duplicates(RUN, keep="last").sort_values(RUN)


def add_finished(file: Path, folder: Path, variants: Sequence[str] | None = None) -> None:
    """Add the finished runs of the sweep in ``folder`` to ``file``, instead of those it has.

    ``variants`` as for :func:`read_finished`.
    """
    found = read_finished(folder, variants)
    there = pd.read_csv(file) if file.exists() else found[:0]
    replace_runs(there, found).to_csv(file, index=False, float_format="%.6f")


DIGITS = Study("digits")


def read_machines() -> dict[str, dict[str, str]]:
    """Return, by study, the machine that made its runs."""
    if not MACHINES.exists():
        return {}
    return dict(json.loads(MACHINES.read_text(encoding="utf-8")))


def write_machine(study: str) -> None:
    """Note that the runs of a study are from this machine."""
    text = json.dumps({**read_machines(), study: this_machine()}, indent=2)
    MACHINES.write_text(text + "\n", encoding="utf-8")


def this_machine() -> dict[str, str]:
    """Return what the last digits of a run's numbers depend on."""
    from ndcl_domainbed.training.environment import describe_environment

    found = describe_environment()
    return {name: found[name].partition("+")[0] for name in ("CPU", "PyTorch", "NumPy")}


def domain_names(dataset: str) -> tuple[str, ...]:
    """Return the names of the domains of a labeled dataset."""
    return names.ENVIRONMENTS[base_dataset(dataset)]
