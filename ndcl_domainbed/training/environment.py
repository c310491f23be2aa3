"""What a run runs on: the versions it uses, the memory it takes."""

from __future__ import annotations

import platform
import resource
import sys
from pathlib import Path

import numpy
import PIL
import torch
import torchvision

from imbalance_splits.discovery import own_files
from ndcl_domainbed import backend
from ndcl_domainbed.version import __version__


def describe_environment() -> dict[str, str]:
    """Return what computes the numbers: versions, backend, processor, threads."""
    return {
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "Torchvision": torchvision.__version__,
        "CUDA": str(torch.version.cuda),
        "CUDNN": str(torch.backends.cudnn.version()),
        "NumPy": numpy.__version__,
        "PIL": PIL.__version__,
        "CPU": f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "CPU threads": str(torch.get_num_threads()),
        "ndcl-domainbed": __version__,
        "backend": backend.DESCRIPTION,
        "own code": ", ".join(own_files()) or "none",
    }


def _processor() -> str:
    """Return the name of the processor; its last bits of a number may be another's."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def peak_memory_gb(device: torch.device) -> float:
    """Return the most memory used so far, in GiB: the GPU's, or the process's on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
