"""Watches tensor code for reads back to the host, which make it wait for an accelerator."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "equal", "bincount")
"""The starts of the names of operators that make a host wait for an accelerator."""


class Watch(TorchDispatchMode):
    """Records the operators that make the host wait, and the devices and types of all results."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.results: set[tuple[str, torch.dtype]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Run the operator and note what it was."""
        name = func.overloadpacket.__name__
        if name.startswith(WAITING) or _indexes_by_mask(name, args):
            self.waits.append(name)
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else [result]:
            if isinstance(one, torch.Tensor):
                self.results.add((one.device.type, one.dtype))
        return result


def _indexes_by_mask(name: str, args: tuple) -> bool:
    if name not in ("index", "index_put", "index_put_"):
        return False
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
