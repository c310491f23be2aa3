"""A run that is killed at any moment, and started again, ends with the same numbers."""

from tests.image_folders import write_images
from tests.training.kills import killed_at_each_change, killed_at_random, undisturbed
from tests.training.runs import assert_same_run

TRAIN = (
    "train", "--seed", 7,
    "--hparams", '{"backbone": "small_cnn", "batch_size": 6, "resnet_dropout": 0.1}',
)  # fmt: skip


def _assert_killed_run_is_the_same(folder, algorithm, flags, kills):
    command = (*TRAIN, "--algorithm", algorithm, *flags)
    pace = undisturbed(folder / "alone", *command)
    killed_at_random(folder / "killed", *command, pace=pace, kills=kills, seed=algorithm)
    assert_same_run(folder / "killed", folder / "alone")
    attempts = (folder / "killed" / "out.txt").read_text().count("Resuming after step")
    assert attempts >= kills // 2


def test_five_kills_change_nothing(tmp_path):
    flags = ("--dataset", "Debug28", "--steps", 48, "--checkpoint_freq", 4)
    _assert_killed_run_is_the_same(tmp_path, "NDCL", flags, 5)


def test_kills_of_a_run_with_loader_processes_change_nothing(tmp_path):
    images = write_images(tmp_path / "images", ["ink", "oil", "pen"], ["cup", "hat"], 16)
    flags = ("--dataset", images, "--steps", 24, "--checkpoint_freq", 3)
    imbalanced = ("--imbalance", "TotalHeavyTail", "--num_workers", 2)
    _assert_killed_run_is_the_same(tmp_path, "NDCL", (*flags, *imbalanced), 3)


def test_a_kill_at_each_change_of_a_file_changes_nothing(tmp_path):
    flags = ("--dataset", "Debug28", "--steps", 3, "--checkpoint_freq", 2, "--diagnostics")
    command = (*TRAIN, "--algorithm", "ERM", *flags)
    undisturbed(tmp_path / "alone", *command)
    folders = list(killed_at_each_change(tmp_path / "killed", *command))
    for folder in folders:
        assert_same_run(folder, tmp_path / "alone")
        files = [path / "diagnostics.jsonl" for path in (folder, tmp_path / "alone")]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert len(folders) > 20
