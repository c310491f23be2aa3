"""Accuracy by class of one record, read again from its file: too much to keep for all."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

from ndcl_domainbed.run_folder import RECORDS_FILE

_STEP = re.compile(rb'"step": ?(\d+(?:\.\d+)?)[,}]')


def class_accuracies(folder: str, step: float, target: int) -> list[float | None] | None:
    """Return the target's "in" accuracy by class at ``step`` of the run in ``folder``.

    None for a class that the split has no image of; None instead of the list if the run has no
    such record, or no accuracies by class.
    """
    try:
        lines = (Path(folder) / RECORDS_FILE).read_bytes().split(b"\n")
    except OSError:
        return None
    for line in lines:
        if b'"class_acc"' not in line or step not in map(float, _STEP.findall(line)):
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if record.get("step") == step and record["args"]["test_envs"] == [target]:
            values = record["class_acc"].get(f"env{target}_in")
            return values if isinstance(values, list) else None
    return None
