"""The registry of datasets, what every dataset has, and the random ones."""

import subprocess
import sys

import pytest
import torch

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed.datasets import classes, get_dataset_class

PLAIN = {"data_augmentation": False}

ENVIRONMENTS = {
    "Debug224": ["0", "1", "2"],
    "Debug28": ["0", "1", "2"],
    "DigitsDG": ["MNIST", "MNIST-M", "OPT", "SYN"],
    "DomainNet": ["clip", "info", "paint", "quick", "real", "sketch"],
    "Office31": ["A", "D", "W"],
    "OfficeCaltech10": ["A", "C", "D", "W"],
    "OfficeHome": ["A", "C", "P", "R"],
    "PACS": ["A", "C", "P", "S"],
    "TerraIncognita": ["L100", "L38", "L43", "L46"],
    "VLCS": ["C", "L", "S", "V"],
}


def test_the_names_and_domains_are_those_of_the_protocol():
    assert {name: get_dataset_class(name).ENVIRONMENTS for name in classes()} == ENVIRONMENTS


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_steps_and_checkpoints_are_domainbeds(name):
    cls = get_dataset_class(name)
    if name == "DigitsDG":
        assert cls.N_STEPS % cls.CHECKPOINT_FREQ == 1  # the last step is a checkpoint
        return
    often = dict.fromkeys(
        ["Office31", "OfficeCaltech10", "PACS", "VLCS", "OfficeHome", "TerraIncognita"], 300
    )
    assert cls.N_STEPS == 5001
    wanted = {**often, "DomainNet": 1000}.get(name, 100)
    assert wanted == cls.CHECKPOINT_FREQ


def test_looking_up_a_dataset_does_not_import_torch():
    code = (
        "import sys\n"
        "from ndcl_domainbed.testbed.datasets import classes, get_dataset_class\n"
        "assert [get_dataset_class(name).ENVIRONMENTS for name in classes()]\n"
        "assert not {'torch', 'torchvision', 'pandas', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["PCAS", "torch", "debug", "ImageFolders", "", "no/such.csv"])
def test_a_name_of_nothing_is_refused_with_the_choices(name):
    with pytest.raises(InputError) as error:
        get_dataset_class(name)
    first, second = str(error.value).splitlines()
    assert first.startswith(f"unknown dataset '{name}'")
    assert first.endswith(", ".join(ENVIRONMENTS))
    assert "domain/class/image" in second
    assert ("did you mean 'PACS'?" in first) == (name == "PCAS")


@pytest.mark.parametrize(("name", "size"), [("Debug28", 28), ("Debug224", 224)])
def test_debug_images_are_random_yet_the_same_each_time(name, size):
    state = torch.get_rng_state()
    first, again = (get_dataset_class(name)("/nowhere", [0], PLAIN) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.input_shape == (3, size, size)
    assert (len(first), first.num_classes, first.classes) == (3, 2, ["0", "1"])
    for domain, same in zip(first, again, strict=True):
        images, labels = domain.tensors
        assert images.shape == (16, 3, size, size)
        assert images.std() == pytest.approx(1, abs=0.05)
        assert domain.targets == labels.tolist() == [0, 1] * 8
        assert torch.equal(images, same.tensors[0])
    assert not torch.equal(first[0].tensors[0], first[1].tensors[0])
