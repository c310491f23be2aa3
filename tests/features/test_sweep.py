"""A sweep on frozen features computes them once, before its jobs."""

import subprocess
import sys

from tests.command_line import call
from tests.features.commands import folders, write_photos
from tests.features.training import hparams_text
from tests.training.runs import records


def _words(data_dir):
    return [
        "sweep", "launch", "--datasets", "photos", "--algorithms", "ERM", "--data_dir",
        data_dir, "--output_dir", data_dir / "sweep", "--hparams", hparams_text(),
        "--single_test_envs", "--n_hparams", "1", "--n_trials", "1", "--steps", "2", "--jobs", "2",
        "--skip_model_save", "--skip_confirmation",
    ]  # fmt: skip


def test_a_launch_computes_the_features_once_before_its_jobs(tmp_path):
    write_photos(tmp_path)
    command = [sys.executable, "-m", "ndcl_domainbed", *_words(tmp_path)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stdout.count("18 of 18 images") == 1
    runs = [path.parent for path in tmp_path.glob("sweep/*/done")]
    assert len(runs) == 3
    for run in runs:
        assert "Features of photos" not in (run / "out.txt").read_text()
    assert len({records(run)[0]["network"]["features"] for run in runs}) == 1
    (folder,) = folders(tmp_path / "features")
    assert (folder / "features.json").stat().st_mtime_ns <= min(
        (run / "out.txt").stat().st_ctime_ns for run in runs
    )

    written = (folder / "features.json").stat().st_mtime_ns
    again = call(*_words(tmp_path))
    assert again.status == 0
    assert "About to launch 0 jobs." in again.out
    assert (folder / "features.json").stat().st_mtime_ns == written


def test_a_launch_with_images_that_cannot_be_read_starts_no_job(tmp_path):
    photos = write_photos(tmp_path)
    broken = photos / "oil" / "hat" / "002.png"
    broken.write_bytes(b"no image")
    outcome = call(*_words(tmp_path))
    assert outcome.status == 2
    assert outcome.err.startswith(f"error: cannot read the image {broken} ")
    assert len(outcome.err.splitlines()) == 1
    assert not list(tmp_path.glob("sweep/*/results.jsonl"))
