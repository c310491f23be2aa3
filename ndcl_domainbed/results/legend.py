"""What the names of datasets and rows mean, in a few lines for the head of a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import orjson
import pandas as pd

from ndcl_domainbed.results.labels import (
    SINGLE_SOURCE,
    is_frozen,
    is_single_source,
    network_in,
    without_folders,
)
from ndcl_domainbed.results.names import NO_SETTING

FROZEN = (
    "frozen: the backbone is not trained; an adapter and the classifier are trained on its features"
)
CHANGED = "in brackets behind a dataset: what --hparams changed of the network"
SINGLE = (
    "Single source: trained on the one domain that a column names; figures are means over all "
    "the others."
)


def network_meaning(labels: Sequence[str]) -> list[str]:
    """Return what the brackets in the labels of datasets mean; nothing if there are none.

    >>> network_meaning(["PACS"])
    []
    >>> network_meaning(["PACS [resnet18]"])
    ['In brackets behind a dataset: what --hparams changed of the network.']
    """
    frozen = f"; {FROZEN}" if any(map(is_frozen, labels)) else ""
    lines = [f"{CHANGED[0].upper()}{CHANGED[1:]}{frozen}."]
    has_network = any(network_in(label) not in ("", SINGLE_SOURCE) for label in labels)
    return lines * has_network + [SINGLE] * any(map(is_single_source, labels))


def board_legend(dataset: str, fixed: str) -> list[str]:
    """Return lines on one board: its network, and what all its runs share."""
    return [*network_meaning([dataset]), *([f"All runs fix {fixed}."] if fixed else [])]


def page_legend(runs: pd.DataFrame) -> list[str]:
    """Return lines on all boards of ``runs``, each once."""
    keys = ["dataset", "setting", "fixed"]
    boards = list(runs[keys].drop_duplicates().astype(str).itertuples(index=False, name=None))
    places: dict[str, list[str]] = {}
    for dataset, setting, fixed in boards:
        where = dataset if setting == NO_SETTING else f"{dataset} under {setting}"
        places.setdefault(fixed, []).append(where)
    lines = network_meaning([dataset for dataset, *_ in boards])
    for fixed, where in places.items():
        if fixed:
            on = "" if len(places) == 1 else f" on {', '.join(where)}"
            lines.append(f"All runs{on} fix {fixed}.")
    return lines + mixed_networks(runs)


def networks_of(runs: pd.DataFrame) -> dict[str, int]:
    """Return the networks that the records name -> how many runs had each.

    For example "resnet18, frozen, 128 px, weights IMAGENET1K_V1, sha256:...".
    """
    counts = runs.loc[runs["network"] != "", "network"].astype(str).value_counts()
    found: Counter[str] = Counter()
    for text, count in counts.items():
        network = orjson.loads(str(text))
        parts = {
            network.get("backbone", "unknown backbone"): True,
            "frozen": network.get("frozen") is True,
            f"{network.get('image_size')} px": network.get("image_size"),
            f"weights {without_folders(str(network.get('weights')))}": network.get("weights"),
            network.get("digest"): network.get("digest"),
        }
        found[", ".join(str(part) for part, is_there in parts.items() if is_there)] += count
    return dict(sorted(found.items()))


def mixed_networks(runs: pd.DataFrame) -> list[str]:
    """Warn of datasets under whose label there are runs with several weights or networks."""
    known = runs.loc[runs["network"] != "", ["dataset", "network"]].drop_duplicates().astype(str)
    found: dict[str, set[tuple[str, str]]] = {}
    for dataset, text in known.itertuples(index=False, name=None):
        network = orjson.loads(text)
        weights = network.get("digest") or network.get("weights")
        found.setdefault(dataset, set()).add((str(network.get("backbone")), str(weights)))
    return [
        f"Warning: the runs on {dataset} have {len(several)} different networks or weights, which "
        "its figures mix; the report lists them."
        for dataset, several in sorted(found.items())
        if len(several) > 1
    ]
