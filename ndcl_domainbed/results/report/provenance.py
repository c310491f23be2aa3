"""Where the numbers of the page come from: runs, networks, versions, hours."""

from __future__ import annotations

import platform
from collections import Counter
from datetime import datetime, timezone
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from ndcl_domainbed import version
from ndcl_domainbed.git import NoAnswer, ask_git, short_commit
from ndcl_domainbed.results import summary
from ndcl_domainbed.results.chosen import hide_parents
from ndcl_domainbed.results.cost import run_seconds
from ndcl_domainbed.results.labels import without_folders
from ndcl_domainbed.results.legend import mixed_networks, networks_of
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.run_folder import DONE, OUT_FILE
from ndcl_domainbed.version import __version__

PACKAGES = ("ndcl_domainbed", "imbalance_splits")
VERSION_SAMPLE = 200  # the number of runs, evenly spread, in which the versions are looked up
MAX_LEFT_OUT = 30


def describe_provenance(sweep: Sweep, *, partial: bool = False) -> dict[str, Any]:
    """Return the last section of the page; ``partial``: unfinished runs count."""
    sweep = sweep.without_variants()
    left_out = [
        without_folders(hide_parents(line, sweep.roots))
        for line in summary.left_out(sweep, partial=partial)
    ]
    checkout, runs = find_commit(), summary.runs_line(sweep, partial=partial)
    metas = [orjson.loads(text) for text in sweep.runs["meta"] if text != "{}"]
    backends = Counter(str(meta.get("backend") or "not recorded") for meta in metas)
    return {
        "when": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "by": f"ndcl-domainbed {__version__}{f' ({checkout})' if checkout else ''}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, pandas {pd.__version__}",
        "folders": [Path(root).name for root in sweep.roots],
        "records": len(sweep.records),
        "runs": " ".join([runs.removeprefix("Runs: "), *summary.describe_stopped(sweep)]),
        "hours": round(training_hours(sweep), 2),
        "backends": dict(backends.most_common()),
        "networks": networks_of(sweep.runs),
        "mixed": mixed_networks(sweep.runs),
        "versions": _count_versions(sweep),
        "left_out": left_out[:MAX_LEFT_OUT],
        "not_shown": max(0, len(left_out) - MAX_LEFT_OUT),
    }


def training_hours(sweep: Sweep) -> float:
    """Return the hours that all recorded training steps took; evaluation is not in them."""
    return float(run_seconds(sweep.records).sum()) / 3600


def _count_versions(sweep: Sweep) -> dict[str, int]:
    """Return versions, as the runs print them in ``out.txt`` -> how many runs had them."""
    done = sweep.runs["run"][sweep.runs["state"] == DONE].unique()
    some = done[:: max(1, len(done) // VERSION_SAMPLE)]
    counts = Counter(filter(None, (_read_environment(Path(folder) / OUT_FILE) for folder in some)))
    return dict(counts.most_common())


def _read_environment(path: Path) -> str:
    """Return the lines below "Environment:" as one text; nothing if there are none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            _, _, text = file.read(4000).partition("Environment:\n")
    except OSError:
        return ""
    lines = takewhile(lambda line: line.startswith("\t"), text.splitlines())
    return ", ".join(line.strip().replace(": ", " ", 1) for line in lines)


def find_commit(root: Path | None = None) -> str:
    """Return "commit 1a2b3c4" of the checkout whose folder ``root`` holds the package.

    ", with changes" follows if a tracked file differs from the commit, or if the packages have
    a file that it lacks. Nothing where there is no git, or where the package is not part of the
    checkout, as in a virtual environment.
    """
    at = Path(version.__file__).parents[1] if root is None else root
    try:
        ask_git(at, "ls-files", "--error-unmatch", f"{PACKAGES[0]}/version.py")
        number = short_commit(at)
        changes = ask_git(at, "status", "--porcelain", "--untracked-files=no")
        new = ask_git(at, "ls-files", "--others", "--exclude-standard", "--", *PACKAGES)
    except NoAnswer:
        return ""
    return f"commit {number}{', with changes' if changes or new else ''}"
