"""Datasets that keep DomainBed's contract, without DomainBed."""

import json
import os
from pathlib import Path

import torch
from torch.utils.data import TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from tests import image_folders


class InMemory:
    """Each image is one pixel that says where it stands: 1000 * domain + position."""

    ENVIRONMENTS = ("a", "b", "c")
    SIZES = ((30, 20, 12), (14, 25, 40), (33, 33, 33))
    input_shape = (1, 1, 1)

    def __init__(self, root, test_envs, hparams):
        self.num_classes = len(self.SIZES[0])
        self.domains = []
        for d, sizes in enumerate(self.SIZES):
            labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
            labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(d))]
            places = 1000 * d + torch.arange(len(labels))
            self.domains.append(TensorDataset(places.float().reshape(-1, 1, 1, 1), labels))

    def __len__(self):
        return len(self.domains)

    def __getitem__(self, index):
        return self.domains[index]


class Folders:
    """Image folders read by torchvision; training transforms mark the image with red."""

    ENVIRONMENTS = ("A", "B", "C")
    input_shape = (3, 4, 4)

    def __init__(self, root, test_envs, hparams):
        paths = sorted(path for path in Path(root).iterdir() if path.is_dir())
        plain = transforms.ToTensor()
        marked = transforms.Compose([plain, lambda image: image + 10])
        self.datasets = [
            ImageFolder(path, transform=plain if i in test_envs else marked)
            for i, path in enumerate(paths)
        ]
        self.num_classes = len(self.datasets[-1].classes)

    def __len__(self):
        return len(self.datasets)

    def __getitem__(self, index):
        return self.datasets[index]


def write_images(root, domains=("art", "book", "clay"), sizes=None):
    """Write domain/class/image.png below ``root``; 10 images of two classes by default."""
    for name, count in (sizes or {"cat": 10, "dog": 10}).items():
        image_folders.write_images(Path(root), domains, [name], count, size=4)


def write_list(path, images):
    """Write a list, .json or .csv, of the first 15 images of every class."""
    entries = [
        (file.parent.parent.name, file.parent.name, str(file.relative_to(path.parent)))
        for file in images.rglob("*.png")
        if file.stem < "015"
    ]
    lines = ["domain,class,file", *map(",".join, entries)]
    path.write_text(json.dumps(entries) if path.suffix == ".json" else "\n".join(lines))
    return path


def forbid_listing(monkeypatch, folder):
    """Have the system refuse to list ``folder``, as it does to whoever may not read it."""
    scandir = os.scandir

    def refuse(path="."):
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
