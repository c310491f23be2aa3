"""The files that the guide's commands and examples need."""

from pathlib import Path

from ndcl_domainbed.sweeping import grid, manifest
from ndcl_domainbed.sweeping.flags import parse
from tests.command_line import call
from tests.docs.commands import ROOT
from tests.image_folders import write_images
from tests.results.builder import record, write_run

AFTER_A_SWEEP = {"README.md", "results_guide.md", "sweeps.md", "paper.md"}
"""Pages that begin where a sweep has ended."""

DOMAINS = ["camera_a", "camera_b", "drawings"]
CLASSES = ["glasses", "hat", "none"]
SPLITS = ("in", "out", "val")
STEPS = (0, 50, 100)


def furnish(folder: Path, data: Path) -> None:
    """Put the datasets and the named sweeps into ``folder``; DigitsDG is in ``data``."""
    (folder / "data").symlink_to(data, target_is_directory=True)
    if not (folder / "sweeps").exists():
        (folder / "sweeps").symlink_to(ROOT / "sweeps", target_is_directory=True)
    write_images(folder / "faces", DOMAINS, CLASSES, per_class=12)
    images = sorted((folder / "faces").glob("*/*/*.png"))
    lines = [f"{path.parts[-3]},{path.parts[-2]},{path.relative_to(folder)}" for path in images]
    (folder / "faces.csv").write_text("\n".join(["domain,class,file", *lines]) + "\n")


def add_finished_sweep(folder: Path) -> None:
    """Write a sweep of NDCL and ERM on DigitsDG that is done, with made-up accuracies."""
    flags = "--algorithms NDCL ERM --datasets DigitsDG --imbalance TotalHeavyTail"
    more = "--single_test_envs --n_hparams 1 --n_trials 2 --data_dir data --output_dir"
    output = folder / "sweep"
    _, grids = parse(["launch", *flags.split(), *more.split(), str(output)])
    jobs = grid.expand(grids, str(output))
    manifest.record_jobs(jobs, str(output))
    for number, job in enumerate(jobs):
        args = job.train_args
        about = {key: args[key] for key in ("dataset", "algorithm", "imbalance", "trial_seed")}
        records = [
            record(
                step,
                {f"{env}_{split}": (env + number + step % 7) / 30 for env in range(4)
                 for split in SPLITS if split != "val" or env != args["test_envs"][0]},
                test_envs=args["test_envs"], class_acc={}, hparams_seed=0, **about,
            )
            for step in STEPS
        ]  # fmt: skip
        write_run(job.folder, records)


def add_features(folder: Path) -> None:
    """Compute the features of the folder of images, as the page's command does."""
    hparams = '{"backbone": "resnet18", "pretrained": false, "image_size": 64}'
    data = folder / "data"
    outcome = call("features", "--dataset", "faces", "--hparams", hparams, "--data_dir", data)
    assert outcome.status == 0, outcome.out


def add_finished_run(folder: Path) -> None:
    """Train for one step on the folder of images."""
    outcome = call(
        "train", "--dataset", "faces", "--imbalance", "TotalHeavyTail", "--steps", 1,
        "--hparams", '{"batch_size": 4}', "--output_dir", folder / "run_on_faces",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
