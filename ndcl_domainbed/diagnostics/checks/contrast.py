"""What each part of NDCL adds: the variants of an ablation sweep, by shot group and class.

Give the folder of a sweep such as ``sweeps/ablation.yaml`` makes, finished or not. A variant is an
algorithm and the hyper-parameters that are not at their defaults, as "NDCL beta=0".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from imbalance_splits.errors import InputError
from ndcl_domainbed import registry
from ndcl_domainbed.diagnostics.figures import new_figure, run_style
from ndcl_domainbed.diagnostics.findings import Findings, Request
from ndcl_domainbed.hparams import VECTORS, is_frozen
from ndcl_domainbed.results.details import class_accuracies
from ndcl_domainbed.results.identity import identity, is_whole
from ndcl_domainbed.results.names import METRIC_TITLES
from ndcl_domainbed.results.overrides import NETWORK_HPARAMS
from ndcl_domainbed.results.reading import Sweep, read_sweep
from ndcl_domainbed.results.selection import select
from ndcl_domainbed.results.splits import read_split
from ndcl_domainbed.sweeping.manifest import read_jobs
from ndcl_domainbed.training.arguments import parse_hparams

BASE = "NDCL"
SHOWN = ("overall", "many", "medium", "few")
METRICS = [*SHOWN, "worst", "balanced"]
DIFFERENCE = "_minus_ndcl"
CELL = ["test_env", "trial_seed"]

CAPTION = (
    "Left: how many points each variant has more than NDCL with its defaults, with the standard "
    "error over trials, the targets fixed; differences are over the targets and trials that both "
    "have done (if NDCL has none, accuracies are shown). Right: accuracy by class. All are on the "
    "target's 'in' split at the step that the balanced validation split of the sources selected. "
    "The table also has the accuracies, over all runs of a variant, and p of each difference "
    "(Welch's t-test over the trials): of twenty comparisons about one falls below 5 % by chance. "
    "The variants share NDCL's hyper-parameters; none was tuned."
)


def diagnose(request: Request) -> Findings:
    """Return what the variants of the sweep reach on their targets.

    Raises InputError for a folder without finished runs on an imbalanced split.
    """
    runs, missing = read_variants(request.folders)
    variants, classes = tabulate_variants(runs, missing), _tabulate_classes(runs)
    table = pd.concat([variants, classes], ignore_index=True)
    counts = ", ".join(f"{variant}: {number}" for variant, number in missing.items())
    note = f" Runs that are not done, by variant: {counts}." if counts else ""
    return Findings(CAPTION + note, table, _draw(variants[variants["runs"] > 0], classes))


def read_variants(folders: Sequence[Path]) -> tuple[pd.DataFrame, Counter[str]]:
    """Read the sweeps in ``folders`` as one: finished runs, and how many others there should be.

    The table has a row for each run that is done: ``variant``, ``test_env``, ``trial_seed``,
    ``step`` (chosen by the balanced validation split) and the accuracies of each measure there,
    shares. The counter has, by variant, the runs (target and trial) that are listed, or that other
    variants have, and are not done. Raises InputError if there is no run that is done, for runs
    without balanced validation splits, and for several datasets, settings or networks.
    """
    sweep = _read(folders)
    names = {
        str(run): variant_name(orjson.loads(meta)["args"])
        for run, meta in zip(sweep.runs["run"], sweep.runs["meta"], strict=True)
        if meta != "{}"
    }
    records = sweep.frame()
    # Tables name rows by all overrides but those of every run; here only a change has a name.
    records["algorithm"] = [names[str(run)] for run in records["run"]]
    runs = select(records, "balanced").rename(columns={"algorithm": "variant"})
    if runs.empty:
        raise InputError(
            f"{folders[0]}: no finished run has a balanced validation split; train with "
            "--imbalance."
        )
    done = set(runs[["variant", *CELL]].itertuples(index=False, name=None))
    wanted = {(name, *cell) for name in names.values() for _, *cell in done}
    for folder in folders:
        for args in (job.train_args for job in read_jobs(str(folder))):
            job = identity(args) if is_whole(args) else None
            if job and job.test_env >= 0:  # with one target
                wanted.add((variant_name(args), job.test_env, job.trial_seed))
    return runs, Counter(name for name, *_ in sorted(wanted - done))


def _read(folders: Sequence[Path]) -> Sweep:
    try:
        sweep = read_sweep(folders)
    except InputError as error:
        raise InputError(
            f"{folders[0]}: no records are there; name the folder of a sweep."
        ) from error
    boards = sweep.runs[["dataset", "setting"]].drop_duplicates()
    if len(boards) > 1:
        found = ", ".join("/".join(map(str, board)) for board in boards.to_numpy())
        raise InputError(
            "contrast compares variants on one dataset and setting, with one network, not "
            f"{found}: give the folder of one sweep."
        )
    return sweep


def variant_name(args: dict[str, Any]) -> str:
    """Return the variant that a run is of; its network is that of all runs, and no change."""
    algorithm, changes = args["algorithm"], parse_hparams(args.get("hparams"))
    defaults = getattr(registry.get_algorithm_class(algorithm), "HPARAMS", {})
    dataset = VECTORS if is_frozen(changes) else args["dataset"]
    parts = [
        f"{key}={int(value) if isinstance(value, float) and value.is_integer() else value}"
        for key, value in sorted(changes.items())
        if key not in NETWORK_HPARAMS
        and (key not in defaults or defaults[key].default_for(dataset) != value)
    ]
    return " ".join([algorithm, *parts])


def estimate(values: pd.DataFrame) -> pd.DataFrame:
    """Return ``mean`` over targets of means over trials, ``error``, ``runs`` and ``p``, by column.

    ``values`` has the levels test_env and trial_seed; NaN is left out. The standard error is over
    trials, the targets fixed: sqrt(Σ_t s_t²/n_t) / T with the deviation s_t over the n_t trials of
    target t; NaN if a target has one trial only. ``p`` is the probability of a mean as far from 0
    by chance alone (Welch's t-test, two-sided, with Satterthwaite's degrees of freedom).
    """
    targets = values.groupby(level="test_env")
    trials = targets.count()
    squares = (targets.var(ddof=1) / trials).where(trials > 0, 0)
    mean = targets.mean().mean()
    error = squares.sum(skipna=False) ** 0.5 / (trials > 0).sum()
    degrees = squares.sum() ** 2 / (squares**2 / (trials - 1).clip(lower=1)).sum()
    p = pd.Series(2 * stats.t.sf((mean / error).abs(), degrees), values.columns)
    p = p.mask((error == 0) & (mean != 0), 0.0)
    return pd.DataFrame({"mean": mean, "error": error, "runs": trials.sum(), "p": p})


def tabulate_variants(runs: pd.DataFrame, missing: Counter[str]) -> pd.DataFrame:
    """Return a row per variant: accuracies, differences to plain NDCL, in percent."""
    variants = sorted(
        {*runs["variant"], *missing},
        key=lambda one: (one.split(" ")[0] != BASE, one.count("="), one),
    )
    accuracies = 100 * runs.pivot(index=CELL, columns="variant", values=METRICS).astype(float)
    columns: dict[str, Any] = {"part": "variant", "variant": variants}
    for metric in METRICS:
        values = pd.DataFrame(accuracies[metric]).reindex(columns=sorted({BASE, *variants}))
        level = estimate(values).loc[variants]
        change = estimate(values.sub(values[BASE], axis=0)).loc[variants]
        if metric == SHOWN[0]:
            columns["runs"] = level["runs"]
            columns["missing_runs"] = [missing[variant] for variant in variants]
        name = metric + DIFFERENCE
        columns |= {metric: level["mean"], f"{metric}_error": level["error"]}
        columns |= {
            name: change["mean"],
            f"{name}_error": change["error"],
            f"{name}_p": change["p"],
        }
    return pd.DataFrame(columns).reset_index(drop=True)


def _tabulate_classes(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row per variant and class: mean accuracy in percent, over targets and trials."""
    parts = [pd.DataFrame(columns=["variant", "class", "training_images", "accuracy"])]
    for row in runs.to_dict("records"):
        values = class_accuracies(row["run"], row["step"], [row["test_env"]])
        split = read_split(row["run"])
        if values is not None and split is not None:
            images = np.sum(list(split["train_counts"].values()), axis=0)
            part = {"class": split["classes"], "training_images": images, "accuracy": values}
            parts.append(pd.DataFrame(part).assign(variant=row["variant"]))
    table = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    table = table.astype({"training_images": float, "accuracy": float})
    groups = table.groupby(["variant", "class"], sort=False)
    means = groups.mean().assign(runs=groups.size()).reset_index()
    return means.assign(part="class", accuracy=100 * means["accuracy"])


def _draw(variants: pd.DataFrame, classes: pd.DataFrame) -> Figure:
    figure = new_figure(16, 2.6 + 0.36 * len(variants))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _draw_differences(left, variants)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=len(SHOWN))
    image = _draw_classes(right, classes, variants["variant"].tolist())
    figure.colorbar(image, ax=right, label="accuracy (%)", shrink=0.8)
    return figure


def _draw_differences(axis: Any, variants: pd.DataFrame) -> None:
    """Draw differences to NDCL, or accuracies if NDCL has no finished run."""
    is_paired = (variants["variant"] == BASE).any()
    places = np.arange(len(variants))
    for index, metric in enumerate(SHOWN):
        column = metric + DIFFERENCE if is_paired else metric
        axis.errorbar(variants[column], places, xerr=variants[f"{column}_error"].fillna(0),
                      linestyle="none", capsize=2, markersize=5, label=METRIC_TITLES[metric],
                      **run_style(index))  # fmt: skip
    axis.set_yticks(places, variants["variant"] + "  (" + variants["runs"].astype(str) + ")")
    axis.set_ylim(len(variants) - 0.5, -0.5)
    axis.set_ylabel("variant (finished runs)")
    axis.grid(axis="x", alpha=0.3)
    if is_paired:
        axis.axvline(0, color="0.3", linewidth=0.8)
        axis.set_xlabel("points more than NDCL, over runs of both, ± standard error")
        axis.set_title("accuracy on the target against NDCL")
    else:
        axis.set_xlabel("accuracy on the target (%), ± standard error")
        axis.set_title("accuracy on the target")


def _draw_classes(axis: Any, classes: pd.DataFrame, shown: list[str]) -> Any:
    """Draw the accuracy by class, the class with most training images first."""
    images = classes.groupby("class")["training_images"].mean().sort_values(ascending=False)
    grid = classes.pivot(index="variant", columns="class", values="accuracy")
    values = grid.reindex(index=shown, columns=images.index).to_numpy(dtype=float)
    image = axis.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    if len(images) <= 12:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8,
                          color="black" if value > 55 else "white")  # fmt: skip
        labels = [f"{name}\n{number:.0f}" for name, number in images.items()]
        axis.set_xticks(range(len(labels)), labels)
    axis.set_yticks(range(len(shown)), [""] * len(shown))
    axis.set_xlabel("class, and its mean training images")
    axis.set_title("accuracy by class (%), most training images first")
    return image
