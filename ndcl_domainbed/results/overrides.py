"""The overrides of a run, its ``--hparams``: which network, and what else.

Only the arguments count, not the hyper-parameters in the records, so a job without a record has
the name that it will have when it is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ndcl_domainbed.hparams import VECTORS, is_frozen
from ndcl_domainbed.results.labels import Pair
from ndcl_domainbed.testbed.hparams_registry import NETWORK, SHARED

NETWORK_HPARAMS = frozenset({*NETWORK, "resnet18", "resnet50_augmix"})
"""The hyper-parameters that say which network sees the images, and how."""

_OWN_NETWORKS = ("resnet18", "resnet50", "resnet50_augmix", "small_cnn", "mnist_cnn")
"""Names that timm may have too: its networks of these names keep the prefix."""

_AUTO_BY_SIZE = {"28": "mnist_cnn", "32": "wide_resnet"}


class Overrides(NamedTuple):
    """``network``: what was changed of the network, as text; ``others``: the other overrides."""

    network: str
    others: tuple[Pair, ...]


@cache
def read_overrides(dataset: str, hparams: str | None) -> Overrides:
    """Return what ``hparams``, the JSON text of ``--hparams``, overrides on ``dataset``.

    >>> read_overrides("PACS", '{"image_size": 128, "frozen": true, "resnet18": true}').network
    'frozen resnet18, 128 px'
    >>> read_overrides("PACS", '{"beta": 0.0, "alpha": 0.1}').others
    (('alpha', '0.1'), ('beta', '0'))
    """
    changed = _parse(hparams)
    others = {name: value for name, value in changed.items() if name not in NETWORK_HPARAMS}
    return Overrides(
        _describe_network(dataset, changed),
        tuple((name, _as_text(value)) for name, value in sorted(others.items())),
    )


def _parse(hparams: str | None) -> dict[str, Any]:
    """Return the overrides; none if the text is not a JSON object, as no run of ours has it."""
    try:
        values = json.loads(hparams or "{}")
    except (TypeError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _as_text(value: Any) -> str:
    """Return a value as text, the same for all its spellings.

    >>> [_as_text(value) for value in (1, 1.0, True, "logit", [1, 2])]
    ['1', '1', 'true', 'logit', '[1, 2]']
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _describe_network(dataset: str, changed: Mapping[str, Any]) -> str:
    """Return "frozen resnet18, 128 px": what differs from the network that ``dataset`` has.

    Frozen features have their own defaults, whatever the dataset.
    """
    on = VECTORS if is_frozen(changed) else dataset
    usual = {name: _as_text(SHARED[name].default_for(on)) for name in NETWORK_HPARAMS}
    given = usual | {name: _as_text(changed[name]) for name in NETWORK_HPARAMS & set(changed)}
    differs = {name for name in NETWORK_HPARAMS if given[name] != usual[name]}
    parts = []
    if given["frozen"] == "true":
        parts.append(f"frozen {_backbone(given)}")
    elif _backbone(given) != _backbone(usual):
        parts.append(_backbone(given))
    if "weights" in differs:
        parts.append(f"weights {Path(given['weights']).stem}")
    elif "pretrained" in differs:
        parts.append("random weights")
    if "image_size" in differs:
        parts.append(f"{given['image_size']} px")
    if given["frozen"] == "true":
        parts += [f"{given[name]} views" for name in ("views", "view_augmentation")
                  if name in differs]  # fmt: skip
    return ", ".join(parts)


def _backbone(given: Mapping[str, str]) -> str:
    """Return the name of the network; 'auto' stands for what the testbed would choose."""
    name = given["backbone"]
    if name != "auto":
        short = name.removeprefix("timm:")
        return name if short in _OWN_NETWORKS else short
    if given["image_size"] in _AUTO_BY_SIZE:
        return _AUTO_BY_SIZE[given["image_size"]]
    if given["resnet18"] == "true":
        return "resnet18"
    return "resnet50_augmix" if given["resnet50_augmix"] == "true" else "resnet50"
