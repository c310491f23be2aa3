"""Small sweeps written to disk for the tests, in the form in which runs write them."""

import json
from pathlib import Path

import numpy as np


def record(
    step,
    accuracies,
    *,
    test_envs,
    class_acc=None,
    hparams=None,
    overrides=None,
    network=None,
    **args,
):
    """Return one record; ``accuracies``: key of an accuracy ("0_in", "1_val") -> share.

    ``overrides``: what the run was given as ``--hparams``.
    """
    made = {"step": step, "epoch": step / 10, "step_time": 0.5, "loss": 1.0}
    made |= {f"env{key}_acc": value for key, value in accuracies.items()}
    if class_acc is not None:
        made["class_acc"] = class_acc
    made["hparams"] = hparams or {"lr": 0.001}
    made["args"] = {"dataset": "PACS", "algorithm": "ERM", "trial_seed": 0, "hparams_seed": 0}
    made["args"] |= {"test_envs": list(test_envs), **args}
    if overrides is not None:
        made["args"]["hparams"] = json.dumps(overrides)
    if network is not None:
        made["network"] = network
    return made


def write_run(folder: Path, records, *, done=True, tail="", split=None, err=""):
    """Write a run's folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(one, sort_keys=True) + "\n" for one in records)
    (folder / "results.jsonl").write_text(lines + tail)
    (folder / "out.txt").write_text("Args:\n")
    (folder / "err.txt").write_text(err)
    if done:
        (folder / "done").write_text("done")
    if split is not None:
        (folder / "split.json").write_text(json.dumps(split))
    return folder


def random_sweep(
    root: Path,
    *,
    seed=0,
    algorithms=("ERM", "CORAL"),
    n_envs=4,
    pairs=True,
    draws=3,
    trials=2,
    steps=(0, 10, 20),
    digits=None,
    prefix="run",
    **args,
):
    """Write a sweep of random accuracies; few ``digits`` make ties."""
    rng = np.random.RandomState(seed)
    test_envs = [[i] for i in range(n_envs)]
    if pairs:
        test_envs += [[i, j] for i in range(n_envs) for j in range(i + 1, n_envs)]
    number = 0
    for algorithm in algorithms:
        for envs in test_envs:
            for trial in range(trials):
                for draw in range(draws):
                    records = []
                    for step in steps:
                        shares = {
                            f"{env}_{split}": round(float(rng.uniform()), digits or 17)
                            for env in range(n_envs)
                            for split in ("in", "out")
                        }
                        about = {"trial_seed": trial, "hparams_seed": draw, **args}
                        records.append(
                            record(step, shares, test_envs=envs, algorithm=algorithm, **about)
                        )
                    write_run(root / f"{prefix}{number:04d}", records)
                    number += 1
    return root
