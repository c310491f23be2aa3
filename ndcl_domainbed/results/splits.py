"""What ``split.json``, beside the records of a run, holds of its split."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from ndcl_domainbed.results.identity import Identity
from ndcl_domainbed.results.labels import is_single_source
from ndcl_domainbed.results.names import ENVIRONMENTS, NO_SETTING, OWN_SPLIT, environment_names
from ndcl_domainbed.run_folder import SPLIT_FILE


@dataclass
class SplitInfo:
    """Domain names, and per test domain the thresholds (many, few) of the shot groups."""

    environments: list[str] = field(default_factory=list)
    thresholds: dict[int, tuple[float, float]] = field(default_factory=dict)

    def threshold_lines(self, domains: list[str]) -> list[str]:
        """Return a sentence on the shot groups; targets with the same thresholds share it."""
        if not self.thresholds:
            return []
        alike: dict[tuple[float, float], list[str]] = {}
        for env, pair in sorted(self.thresholds.items()):
            alike.setdefault(pair, []).append(domains[env] if env < len(domains) else str(env))
        parts = [
            f"Many > {many:.4g}, Few < {few:.4g}"
            + (f" ({', '.join(of)})" if len(alike) > 1 else "")
            for (many, few), of in alike.items()
        ]
        return ["Training images of a class, mean over source domains: " + "; ".join(parts)]


def read_split(folder: str) -> dict[str, Any] | None:
    """Return the content of a run's ``split.json``; None if there is none that can be read."""
    try:
        content = orjson.loads((Path(folder) / SPLIT_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return content if isinstance(content, dict) else None


def mark_own_splits(runs: Sequence[Identity], grouped: Collection[int]) -> list[Identity]:
    """Return ``runs`` with the setting "own split" where the dataset itself fixes the split.

    Of all runs without a setting only these have shot groups: those numbered ``grouped``, and the
    others on their datasets.
    """
    plain = [run.setting == NO_SETTING and run.dataset not in ENVIRONMENTS for run in runs]
    own = {runs[number].dataset for number in grouped if plain[number]}
    return [
        run._replace(setting=OWN_SPLIT) if is_plain and run.dataset in own else run
        for run, is_plain in zip(runs, plain, strict=True)
    ]


def split_info(runs: pd.DataFrame) -> SplitInfo:
    """Return what the runs of one dataset and setting recorded: per target the first readable."""
    info = SplitInfo()
    for env, some in runs.groupby("test_env"):
        for folder in some["run"].head(3):
            content = read_split(folder)
            if content is None:
                continue
            names = content.get("environments")
            info.environments = info.environments or [str(name) for name in names or ()]
            limits = content.get("thresholds")
            if isinstance(limits, dict) and int(str(env)) >= 0:
                info.thresholds[int(str(env))] = (limits.get("many", 0), limits.get("few", 0))
            break
    return info


def domain_names(runs: pd.DataFrame, info: SplitInfo | None = None) -> list[str]:
    """Return the names of the columns of a board, whose ``runs`` are of one dataset and setting.

    They are its domains; "from A" for runs that train on A alone.
    """
    dataset = str(runs["dataset"].iloc[0])
    info = info or split_info(runs)
    last = max(int(env) for text in runs["test_envs"].unique() for env in str(text).split())
    domains = environment_names(dataset, int(runs["n_envs"].max()), info.environments)
    domains = domains or environment_names(dataset, 1 + last)
    return [f"from {name}" for name in domains] if is_single_source(dataset) else domains
