"""Folders as ``train --diagnostics`` leaves them, with planted figures."""

from __future__ import annotations

import json

from tests.results.builder import record, write_run

CLASSES = [str(k) for k in range(8)]
COUNTS = {"A": [400, 300, 60, 40, 20, 8, 4, 2], "B": [200, 150, 30, 20, 10, 4, 2, 1]}
SHOTS = ["many"] * 2 + ["medium"] * 3 + ["few"] * 3
STEPS = (0, 10, 20, 30)


def write_watched(folder, figure_of, *, algorithm="NDCL", hparams=None, shots=SHOTS, tail=""):
    """Write a run with the source domains A and B; C is the target.

    ``figure_of(name, env, k, step)`` gives the figures, None what is not defined.
    """
    split = {
        "environments": ["A", "B", "C"], "classes": CLASSES, "train_counts": COUNTS,
        "thresholds": None, "shots": shots,
    }  # fmt: skip
    about = [
        record(step, {"2_in": 0.5}, test_envs=[2], algorithm=algorithm, hparams=hparams)
        for step in STEPS
    ]
    write_run(folder, about, split=split)
    names = ("grad_logits", "grad_features", "confidence", "amplification", "crowding")
    names += ("norm", "distance", "instability")
    lines = []
    for step in STEPS:
        keys = [(env, k) for env in (0, 1) for k in range(len(CLASSES))]
        pairs = {"env": [env for env, _ in keys], "class": [k for _, k in keys]}
        pairs["samples"] = [list(COUNTS.values())[env][k] for env, k in keys]
        pairs["anchors"], pairs["batches"] = pairs["samples"], [10] * len(keys)
        for name in names:
            pairs[name] = [figure_of(name, env, k, step) for env, k in keys]
        line = {"step": step, "updates": 5 if step else 1, "pairs": pairs}
        lines.append(json.dumps(line, sort_keys=True) + "\n")
    (folder / "diagnostics.jsonl").write_text("".join(lines) + tail)
    return folder
