"""Images whose augmentation draws from all three global generators."""

import random

import numpy as np
import torch
from torch.utils.data import Dataset


class NoisyImages(Dataset):
    """Image i is [i, noise, noise, noise], its label i modulo 3."""

    def __init__(self, length):
        self.length = length
        self.targets = [i % 3 for i in range(length)]

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        noise = [float(torch.rand(())), random.random(), np.random.random()]
        return torch.tensor([float(index), *noise]), index % 3
