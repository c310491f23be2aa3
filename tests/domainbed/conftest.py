"""A user's fork of DomainBed: the checkout with an algorithm and a dataset added to it."""

import os
import shutil
from pathlib import Path

import pytest

from tests.domainbed.warm_python import WarmPython
from tests.git_command import git

ALGORITHM = '''

ALGORITHMS.append("Mine")


class Mine(ERM):
    """An algorithm that a user wrote."""
'''

DATASET = '''

DATASETS.append("Tiny28")


class Tiny28(MultipleDomainDataset):
    """Three domains of colored noise, the brightest channel being the class."""

    ENVIRONMENTS = ["one", "two", "three"]
    N_STEPS = 21
    CHECKPOINT_FREQ = 10
    N_WORKERS = 0

    def __init__(self, root, test_envs, hparams):
        super().__init__()
        self.input_shape = (3, 28, 28)
        self.num_classes = 3
        self.datasets = []
        generator = torch.Generator().manual_seed(0)
        for sizes in ((20, 16, 12), (13, 19, 17), (24, 21, 18)):
            labels = torch.arange(3).repeat_interleave(torch.tensor(sizes))
            labels = labels[torch.randperm(len(labels), generator=generator)]
            images = torch.rand(len(labels), 3, 28, 28, generator=generator)
            images[torch.arange(len(labels)), labels] += 1
            self.datasets.append(TensorDataset(images, labels))
'''


@pytest.fixture(scope="session")
def fork(tmp_path_factory):
    """The folder of the fork, a git repository."""
    home = tmp_path_factory.mktemp("fork")
    source = Path(os.environ["DOMAINBED_HOME"], "domainbed")
    shutil.copytree(
        source, home / "domainbed", ignore=shutil.ignore_patterns("misc", "__pycache__")
    )
    for name, addition in (("algorithms.py", ALGORITHM), ("datasets.py", DATASET)):
        with (home / "domainbed" / name).open("a") as file:
            file.write(addition)
    git(home, "init", "--quiet")
    git(home, "add", "domainbed/algorithms.py")
    git(home, "commit", "--quiet", "--no-gpg-sign", "--message", "Mine")
    return home


@pytest.fixture(scope="session")
def python(fork, tmp_path_factory):
    """A Python that has imported the fork: see :class:`WarmPython`."""
    warm = WarmPython(fork, tmp_path_factory.mktemp("warm"))
    yield warm
    warm.close()
