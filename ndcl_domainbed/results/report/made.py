"""How the numbers of the page came about: runs, networks, versions, hours."""

from __future__ import annotations

import platform
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from ndcl_domainbed.results import summary
from ndcl_domainbed.results.legend import mixed_networks, networks_of
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.report.commit import commit
from ndcl_domainbed.run_folder import DONE, OUT_FILE
from ndcl_domainbed.version import __version__

LOOKED_AT = 200
"""In how many runs the versions are looked up, evenly spread."""

SHOWN = 30


def how_it_was_made(sweep: Sweep, *, partial: bool = False) -> dict[str, Any]:
    """Return what the last section of the page says; ``partial``: unfinished runs count."""
    left_out = summary.left_out(sweep, partial=partial)
    where = commit()
    return {
        "when": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "by": f"ndcl-domainbed {__version__}{f' ({where})' if where else ''}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, pandas {pd.__version__}",
        "folders": sweep.roots,
        "records": len(sweep.records),
        "runs": summary.runs_line(sweep, partial=partial).removeprefix("Runs: "),
        "hours": round(training_hours(sweep), 2),
        "backends": _backends(sweep),
        "networks": networks_of(sweep.runs),
        "mixed": mixed_networks(sweep.runs),
        "versions": _versions(sweep),
        "left_out": left_out[:SHOWN],
        "not_shown": max(0, len(left_out) - SHOWN),
    }


def training_hours(sweep: Sweep) -> float:
    """Return the hours that all recorded training steps took; evaluation is not in them."""
    records = sweep.records
    if "step_time" not in records or records.empty:
        return 0.0
    step = records["step"].to_numpy()
    before = np.where(np.diff(records["run"].to_numpy(), prepend=-1) != 0, -1, np.roll(step, 1))
    seconds = records["step_time"].to_numpy() * np.maximum(step - before, 0)
    return float(np.nansum(seconds)) / 3600


def _backends(sweep: Sweep) -> dict[str, int]:
    """Return backend -> how many runs it made."""
    texts = sweep.runs["meta"][sweep.runs["meta"] != "{}"]
    counts = Counter(str(orjson.loads(text).get("backend") or "not recorded") for text in texts)
    return dict(counts.most_common())


def _versions(sweep: Sweep) -> dict[str, int]:
    """Return versions, as the runs print them in ``out.txt`` -> how many runs had them."""
    done = sweep.runs["run"][sweep.runs["state"] == DONE].unique()
    some = done[:: max(1, len(done) // LOOKED_AT)]
    counts = Counter(filter(None, (_environment(Path(folder) / OUT_FILE) for folder in some)))
    return dict(counts.most_common())


def _environment(path: Path) -> str:
    """Return the lines below "Environment:" as one text; nothing if there are none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(4000).splitlines()
    except OSError:
        return ""
    if "Environment:" not in lines:
        return ""
    found = []
    for line in lines[lines.index("Environment:") + 1 :]:
        if not line.startswith("\t"):
            break
        found.append(line.strip().replace(": ", " ", 1))
    return ", ".join(found)
