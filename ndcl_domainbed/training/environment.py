"""Which versions a run used."""

from __future__ import annotations

import platform

import numpy
import PIL
import torch
import torchvision

from ndcl_domainbed import backend
from ndcl_domainbed.version import __version__


def describe_environment() -> dict[str, str]:
    """Return the versions of what computes the numbers, and the backend."""
    return {
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "Torchvision": torchvision.__version__,
        "CUDA": str(torch.version.cuda),
        "CUDNN": str(torch.backends.cudnn.version()),
        "NumPy": numpy.__version__,
        "PIL": PIL.__version__,
        "ndcl-domainbed": __version__,
        "backend": backend.DESCRIPTION,
    }
