"""What a run runs on: the versions it uses, the memory it takes and keeps."""

from __future__ import annotations

import ctypes
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

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""

_KEPT, _FROM_HEAP = 2**31 - 1, 32 * 2**20
"""The memory to keep, and the largest blocks that glibc can be told to take from the heap."""


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
    """Return the name of the processor: results may differ in the last bits between them."""
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


def keep_freed_memory() -> bool:
    """Have this process keep memory that it frees, and tell whether the C library can do so.

    On a CPU, the activations of an update are blocks of megabytes. glibc gives such blocks back to
    the system when they are freed, and the next update has them mapped and zeroed again, page by
    page. The process is not larger at its largest for keeping them. Only glibc (Linux) has this.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _FROM_HEAP)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
