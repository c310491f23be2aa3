"""How long ``collect_results`` takes, and how much memory, on a sweep of a real one's size.

    python -m benchmarks.collect                 47,520 runs of 17 records, DomainBed's keys
    python -m benchmarks.collect --imbalanced    with shot groups and class accuracies
    DOMAINBED_HOME=... python -m benchmarks.collect --n_hparams 2 --domainbed

The sweep is generated in a temporary folder (about 1 GB by default). Figures are ratios and
seconds of this machine; they are no test.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ALGORITHMS = [
    *("ERM", "IRM", "GroupDRO", "Mixup", "MLDG", "CORAL", "MMD", "DANN", "SagNet", "VREx", "RSC"),
    *("Fishr", "RDM", "Focal", "ReWeight", "BSoftmax", "LDAM", "BoDA", "GINIDG", "PGrad"),
    *("TCRI_HSIC", "NDCL"),
]
DATASETS = {"PACS": (4, 7), "VLCS": (4, 5), "OfficeHome": (4, 65), "DomainNet": (6, 345)}
RECORDS = 17
GROUPS = ("0many", "1median", "2few")


def record(rng: random.Random, dataset: str, target: int, imbalanced: bool) -> dict[str, object]:
    """Return the accuracies of one record."""
    n_envs, n_classes = DATASETS[dataset]
    made: dict[str, object] = {}
    class_acc = {}
    for env in range(n_envs):
        splits = ["in", "out"] + (["val"] if imbalanced and env != target else [])
        for split in splits:
            made[f"env{env}_{split}_acc"] = rng.random()
            if imbalanced:
                class_acc[f"env{env}_{split}"] = [rng.random() for _ in range(n_classes)]
                made |= {f"env{env}_{split}_{group}": rng.random() for group in GROUPS}
    return {**made, "class_acc": class_acc} if imbalanced else made


def write_run(folder: Path, rng: random.Random, bodies: list[str], args: dict[str, object]) -> None:
    """Write one run; ``bodies``: ready-made accuracies, drawn from at random."""
    hparams = {
        "batch_size": 32, "class_balanced": False, "data_augmentation": True,
        "lr": 5e-05 * (1 + rng.random()), "nonlinear_classifier": False, "resnet18": False,
        "resnet_dropout": 0.5, "weight_decay": rng.random() / 100,
    }  # fmt: skip
    head = json.dumps({"args": {**args, "output_dir": str(folder)}})[:-1]
    tail = json.dumps({"hparams": hparams, "loss": rng.random(), "mem_gb": 5.5})[1:-1]
    folder.mkdir()
    with (folder / "results.jsonl").open("w") as file:
        for number in range(RECORDS):
            body = bodies[rng.randrange(len(bodies))]
            file.write(
                f'{head}, {body}, "epoch": {number * 9.5 + 0.25}, {tail}, '
                f'"step": {number * 300}, "step_time": {0.2 + rng.random() / 9}}}\n'
            )
    (folder / "done").write_text("done")


def generate(root: Path, n_hparams: int, n_trials: int, settings: int, imbalanced: bool) -> int:
    """Write the sweep and return how many runs it has."""
    rng = random.Random(0)
    runs = 0
    for dataset, (n_envs, _) in DATASETS.items():
        for target in range(n_envs):
            bodies = [
                json.dumps(record(rng, dataset, target, imbalanced), sort_keys=True)[1:-1]
                for _ in range(200 if not imbalanced else 20)
            ]
            for number in range(len(ALGORITHMS) * settings * n_hparams * n_trials):
                algorithm = ALGORITHMS[number % len(ALGORITHMS)]
                rest, draw = divmod(number // len(ALGORITHMS), n_hparams)
                setting, trial = divmod(rest, n_trials)
                args: dict[str, object] = {
                    "algorithm": algorithm, "checkpoint_freq": None, "data_dir": "/data/images",
                    "dataset": dataset, "holdout_fraction": 0.2, "hparams": None,
                    "hparams_seed": draw, "save_model_every_checkpoint": False,
                    "seed": rng.randrange(2**31), "skip_model_save": False, "steps": None,
                    "task": "domain_generalization", "test_envs": [target], "trial_seed": trial,
                    "uda_holdout_fraction": 0,
                }  # fmt: skip
                if setting:
                    args["imbalance"] = ("TotalHeavyTail", "Duality")[setting - 1]
                write_run(root / f"{rng.getrandbits(128):032x}", rng, bodies, args)
                runs += 1
    return runs


def measure(command: list[str], env: dict[str, str]) -> str:
    """Run ``command``; return seconds, processor seconds, and the peak memory of all processes."""
    start, used = time.perf_counter(), _processor_seconds()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    seconds = time.perf_counter() - start
    watcher.join()
    used = _processor_seconds() - used
    return f"{seconds:6.1f} s  {used:6.1f} s of processor  {peak[0] / 2**30:5.2f} GB"


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(_memory, _family(process.pid))))
        time.sleep(0.05)


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _memory(pid: int) -> int:
    """Return the memory of a process in bytes, what it shares with others in equal parts."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def main() -> None:
    """Generate, measure, print."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    flags.add_argument("--n_hparams", type=int, default=20)
    flags.add_argument("--n_trials", type=int, default=3)
    flags.add_argument("--settings", type=int, default=2, choices=(1, 2, 3))
    flags.add_argument("--imbalanced", action="store_true", help="records as imbalanced runs")
    flags.add_argument("--domainbed", action="store_true", help="measure DOMAINBED_HOME's too")
    flags.add_argument("--keep", metavar="DIR", help="generate here and leave it")
    args = flags.parse_args()
    root = Path(args.keep or tempfile.mkdtemp(prefix="sweep-"))
    root.mkdir(exist_ok=True, parents=True)
    try:
        if not any(root.iterdir()):
            generate(root, args.n_hparams, args.n_trials, args.settings, args.imbalanced)
        report(root, args.domainbed)
    finally:
        if not args.keep:
            shutil.rmtree(root)


def report(root: Path, domainbed: bool) -> None:
    """Measure and print."""
    files = list(root.glob("*/results.jsonl"))
    size = sum(file.stat().st_size for file in files) / 1e9
    print(f"{len(files)} runs of {RECORDS} records, {size:.2f} GB, {os.cpu_count()} cores")
    ours = [sys.executable, "-m", "ndcl_domainbed.scripts.collect_results", "--input_dir"]
    print(f"ours       {measure([*ours, str(root)], dict(os.environ))}")
    if domainbed:
        home = os.environ["DOMAINBED_HOME"]
        theirs = [sys.executable, "-m", "domainbed.scripts.collect_results", "--input_dir"]
        figures = measure([*theirs, str(root)], {**os.environ, "PYTHONPATH": home})
        print(f"DomainBed  {figures}")


if __name__ == "__main__":
    main()
