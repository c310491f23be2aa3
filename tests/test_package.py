"""The built wheel works without the source tree, data files included."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which the wheel, and nothing else, was installed."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in ("ndcl_domainbed", "imbalance_splits"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(source / "w"), "."]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "w").glob("ndcl_domainbed-*.whl")
    zipfile.ZipFile(wheel).extractall(target)
    return target


def _python(installed, folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=folder, check=False,
        env={**os.environ, "PYTHONPATH": str(installed)},
    )  # fmt: skip


def test_it_carries_its_data_and_types(installed, tmp_path):
    program = (
        "import imbalance_splits, ndcl_domainbed\n"
        "print(imbalance_splits.__file__)\n"
        "print(imbalance_splits.table_for('DomainNet', 'Duality').train_counts['clip']['info'])\n"
        "from imbalance_splits.published import published_parameters\n"
        "from ndcl_domainbed.downloading import all_recipes\n"
        "print(published_parameters('PACS', 'Cross')['middle'], *all_recipes())"
    )
    finished = _python(installed, tmp_path, "-c", program)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith(str(installed))
    assert "'aircraft_carrier': 9" in finished.stdout
    assert "\n0.3 DomainNet Office31 OfficeCaltech10 OfficeHome PACS " in finished.stdout
    for package in ("ndcl_domainbed", "imbalance_splits"):
        assert (installed / package / "py.typed").is_file()


def test_it_trains_and_collects(installed, tmp_path):
    train = _python(
        installed, tmp_path, "-m", "ndcl_domainbed.scripts.train", "--dataset", "Debug28",
        "--algorithm", "NDCL", "--steps", "2", "--output_dir", "sweep/run",
        "--hparams", '{"backbone": "small_cnn"}',
    )  # fmt: skip
    assert train.returncode == 0, train.stderr
    assert (tmp_path / "sweep" / "run" / "out.txt").read_text() == train.stdout
    collect = _python(
        installed, tmp_path, "-m", "ndcl_domainbed", "collect_results", "--input_dir", "sweep"
    )
    assert collect.returncode == 0, collect.stderr
    assert "NDCL" in collect.stdout
