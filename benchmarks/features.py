"""What runs on frozen features cost beside their updates, and extraction beside the network.

    python -m benchmarks.features [--data_dir DIR --dataset PACS] [--algorithms ERM NDCL CORAL]
                                  [--runs 5] [--images 10000]

Without a data directory, images of random pixels are written, and a network of random weights sees
them: as many vectors of the same length as PACS has, at the same cost for a run.

*Runs.* ``train`` is called for 301 steps with seven evaluations of all vectors, in one process; its
CPU time is compared with that of a bare loop of the same 301 updates on minibatches that are ready,
and with the forward passes of the evaluations. The same runs are then jobs of a sweep with one job
at a time, on one thread; the time of a job is from the end of the one before to its own.

*Extraction.* Images per second of ``ndcl-domainbed features`` with one view, and of a bare loop:
decode, resize, normalize, stack, forward, with the same threads and batch size.

All figures are medians over the runs, of one run of this script.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ndcl_domainbed.features.extraction import BATCH
from ndcl_domainbed.features.image_list import list_images
from ndcl_domainbed.run_folder import latest_claim
from ndcl_domainbed.sweeping.grid import Grid, expand
from ndcl_domainbed.sweeping.running import run_jobs
from ndcl_domainbed.testbed import networks
from ndcl_domainbed.testbed.datasets.images.transforms import view_transforms
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.batches import StepBatches
from ndcl_domainbed.training.environment import keep_freed_memory
from ndcl_domainbed.training.feed import evaluation_batch_size
from ndcl_domainbed.training.preparation import Run, prepare, prepare_features
from ndcl_domainbed.training.run import train

BACKBONE = "timm:tf_efficientnet_lite0"


def write_images(folder: Path, count: int) -> None:
    """Write ``count`` images of random pixels: four domains, seven classes."""
    rng = np.random.RandomState(0)
    for index in range(count):
        place = folder / f"domain{index % 4}" / f"class{index // 4 % 7}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.randint(0, 256, size=(40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{index:06}.png")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what the block prints nowhere."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def arguments_for(options: argparse.Namespace, algorithm: str, folder: Path) -> TrainArguments:
    """Return the arguments of one run."""
    return TrainArguments(
        dataset=options.dataset, data_dir=options.data_dir, algorithm=algorithm,
        hparams=options.hparams, imbalance="TotalHeavyTail", test_envs=[0],
        output_dir=str(folder / algorithm), skip_model_save=True, no_resume=True,
    )  # fmt: skip


def cpu_of_run(arguments: TrainArguments) -> float:
    """Return the CPU seconds of a whole run."""
    started = time.process_time()
    with quiet():
        train(arguments)
    return time.process_time() - started


def cpu_of_updates(run: Run) -> float:
    """Return the CPU seconds of the run's updates alone."""
    batches = StepBatches(run.dataset.train_sets, run.hparams["batch_size"], 0)
    ready = [batches[step] for step in range(run.steps)]
    run.algorithm.train()
    started = time.process_time()
    for minibatches in ready:
        run.algorithm.update(minibatches)
    return time.process_time() - started


def cpu_of_evaluation(run: Run) -> float:
    """Return the CPU seconds of the forward passes of the run's evaluations alone."""
    size = evaluation_batch_size(run.dataset.input_shape)
    domains = {id(part.dataset): part.dataset for part in run.dataset.evaluation_sets.values()}
    vectors = [x for one in domains.values() for x in one.tensors[0].float().split(size)]
    run.algorithm.eval()
    started = time.process_time()
    with torch.inference_mode():
        for _ in range(7):
            for x in vectors:
                run.algorithm.predict(x)
    return time.process_time() - started


def seconds_of_jobs(options: argparse.Namespace, algorithm: str, folder: Path) -> list[float]:
    """Return the seconds of each job of a sweep with one job at a time, but the first."""
    grid = Grid(
        datasets=[options.dataset], algorithms=[algorithm], data_dir=options.data_dir,
        n_hparams=1, n_trials=options.runs + 1, single_test_envs=True,
        imbalance=["TotalHeavyTail"],
        run_args={"hparams": options.hparams, "skip_model_save": True},
    )  # fmt: skip
    jobs = [job for job in expand([grid], str(folder)) if job.train_args["test_envs"] == [0]]
    with quiet():
        run_jobs(jobs, [{}], threads=1, retries=0)
    ends = sorted(claim.end.at for job in jobs if (claim := latest_claim(job.folder)) and claim.end)
    return list(np.diff(ends))


def report_runs(options: argparse.Namespace, folder: Path) -> None:
    """Print what runs cost beside their updates."""
    for algorithm in options.algorithms:
        arguments = arguments_for(options, algorithm, folder)
        parts: dict[str, list[float]] = {"run": [], "updates": [], "evaluation": []}
        for _ in range(options.runs):
            parts["run"].append(cpu_of_run(arguments))
            with quiet():
                run = prepare(arguments)
            parts["updates"].append(cpu_of_updates(run))
            parts["evaluation"].append(cpu_of_evaluation(run))
        cpu = {name: statistics.median(values) for name, values in parts.items()}
        rest = cpu["run"] - cpu["updates"] - cpu["evaluation"]
        jobs = statistics.median(seconds_of_jobs(options, algorithm, folder / "jobs"))
        print(
            f"{algorithm}: a run {cpu['run']:.2f} s of CPU, its updates alone {cpu['updates']:.2f} "
            f"({run.steps / cpu['updates']:.0f} steps/s), forward passes of evaluation "
            f"{cpu['evaluation']:.2f} ({cpu['evaluation'] / cpu['run']:.0%}), the rest {rest:.2f} "
            f"({rest / cpu['run']:.0%}); as a job {jobs:.2f} s, {3600 / jobs:,.0f} runs an hour "
            "on a core",
            flush=True,
        )


def report_extraction(options: argparse.Namespace, folder: Path) -> None:
    """Print images per second of an extraction, and of a bare loop over the same network."""
    overrides = {**json.loads(options.hparams), "views": 0}
    ratios, paces = [], []
    for number in range(options.runs):
        arguments = arguments_for(options, "ERM", folder)
        arguments.hparams = json.dumps(overrides)
        arguments.feature_cache = str(folder / f"cache{number}")
        started = time.perf_counter()
        with quiet():
            found = prepare_features(arguments)
        pace = (found.feature_info or {})["images"] / (time.perf_counter() - started)
        bare = bare_pace(options, found)
        paces.append(pace)
        ratios.append(pace / bare)
    print(
        f"extraction, one view, {torch.get_num_threads()} threads: "
        f"{statistics.median(paces):.0f} images/s, "
        f"{statistics.median(ratios):.2f} times a bare loop"
    )


def bare_pace(options: argparse.Namespace, found: Any) -> float:
    """Return the images per second of a loop that reads and computes in turn."""
    hparams = {**prepare_hparams(options), "frozen": False}
    pictures = list_images(found.IMAGES, options.data_dir, hparams)
    size = int(hparams["image_size"])
    started = time.perf_counter()
    network = networks.Featurizer((3, size, size), hparams).eval()
    plain, _ = view_transforms(hparams)
    with torch.inference_mode():
        for start in range(0, len(pictures), BATCH):
            batch = range(start, min(start + BATCH, len(pictures)))
            images = torch.stack([plain(pictures.load(i)) for i in batch])
            network(images.to(memory_format=torch.channels_last)).half().numpy()
    return len(pictures) / (time.perf_counter() - started)


def prepare_hparams(options: argparse.Namespace) -> dict[str, Any]:
    """Return the hyper-parameters of a run."""
    from ndcl_domainbed import registry

    overrides = json.loads(options.hparams)
    return dict(registry.run_hparams("ERM", options.dataset, overrides=overrides))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", help="folder of the datasets (default: random images)")
    parser.add_argument("--dataset", default="PACS")
    parser.add_argument("--image_size", type=int, default=128, help="with --data_dir")
    parser.add_argument("--algorithms", nargs="+", default=["ERM", "NDCL", "CORAL"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--images", type=int, default=10_000, help="without --data_dir")
    parser.add_argument("--part", choices=("runs", "extraction", "both"), default="both")
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        hparams = {"frozen": True, "backbone": BACKBONE, "image_size": options.image_size}
        if options.data_dir is None:
            options.data_dir, options.dataset = name, "random"
            write_images(Path(name, "random"), options.images)
            hparams |= {"pretrained": False, "image_size": 32}
        options.hparams = json.dumps(hparams)
        if options.part != "extraction":
            with quiet():
                prepare_features(arguments_for(options, "ERM", Path(name)))
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            report_runs(options, Path(name))
            torch.set_num_threads(threads)
        if options.part != "runs":
            report_extraction(options, Path(name))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    main()
