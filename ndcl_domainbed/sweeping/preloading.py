"""What the fork server imports for all jobs. Imported elsewhere, it would change the process.

A process that forks must have no threads, and must never have entered a parallel region or touched
a device, or its children inherit locks and pools that no longer work; so this one only imports.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal

from ndcl_domainbed import registry
from ndcl_domainbed.errors import InputError

IMPORTED_LATER = (
    "torch._dynamo", "torch.utils.data", "torch.utils.serialization", "torchvision.transforms",
    "scipy.stats", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "ndcl_domainbed.training.run",
    "ndcl_domainbed.sweeping.worker", "imbalance_splits.file_list",
    "imbalance_splits.image_tree", "imbalance_splits.pixels",
)  # fmt: skip
"""What a run would import, some of it not before its first step."""

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that a terminal or a cluster sends to all processes: the launcher acts upon them."""

os.setsid()
for number in IGNORED:
    signal.signal(number, signal.SIG_IGN)
for name in IMPORTED_LATER:
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(name)
with contextlib.suppress(InputError):  # a job that needs what is broken says so
    registry.algorithm_names()  # imports the module of every algorithm
gc.collect()
gc.freeze()
