"""Looks over the shoulder of tensor code: operators, reads back to the host, sizes of tensors."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "equal", "bincount")
"""Parts of the names of operators that make a host wait for an accelerator."""


class Watch(TorchDispatchMode):
    """Counts operators, records those that make the host wait, and which tensors are made.

    ``largest`` is the size of the largest one in bytes, ``made`` the devices and types of all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.largest = 0
        self.made: set[tuple[str, torch.dtype]] = set()
        self.operators = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Run the operator and note what it was."""
        name = func.overloadpacket.__name__
        self.operators += 1
        if name.startswith(WAITING) or _indexes_by_mask(name, args):
            self.waits.append(name)
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, tuple | list) else [result]:
            if isinstance(made, torch.Tensor):
                self.largest = max(self.largest, made.untyped_storage().size())
                self.made.add((made.device.type, made.dtype))
        return result


def _indexes_by_mask(name: str, args: tuple) -> bool:
    if name not in ("index", "index_put", "index_put_"):
        return False
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
