"""Which network turns an input into features, and the classifier on top of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from imbalance_splits.errors import InputError, unknown_name
from ndcl_domainbed.testbed.networks.residual import RESNETS, ResNet
from ndcl_domainbed.testbed.networks.small import MLP, MNIST_CNN, Adapter, SmallCNN
from ndcl_domainbed.testbed.networks.timm_backbone import TimmBackbone
from ndcl_domainbed.testbed.networks.wide_resnet import WideResNet

BACKBONES = ("auto", "small_cnn", "mnist_cnn", "resnet18", "resnet50", "timm:NAME")

_NOT_EMBEDDED = {
    "vit": "backbone 'timm:NAME' with a vision transformer's name",
    "dinov2": "backbone 'timm:vit_base_patch14_dinov2.lvd142m'",
    "vit_attn_tune": "backbone 'timm:NAME' (all its weights are trained)",
    "lars": "the other optimizers (lars belongs to ERM++)",
}


def choose_backbone(input_shape: Sequence[int], hparams: Mapping[str, Any]) -> str:
    """Return which network ``hparams`` ask for, for inputs of ``input_shape``.

    The hyper-parameter ``backbone`` names it. Its default 'auto' goes by the input, as in
    DomainBed: 'mlp' for vectors, 'mnist_cnn' for 28×28, 'wide_resnet' for 32×32 and, from
    64×64 on, 'resnet18' if the flag ``resnet18`` is set, 'resnet50_augmix' if that flag is (it is
    by default), else 'resnet50'. On frozen features (``frozen``) it is 'adapter', whatever the
    backbone that made them. ``resnet50_augmix`` says which weights a default network gets,
    so it yields to ``resnet18``, to a named backbone, and to ``pretrained`` False.

    Raises InputError for an unknown name, a size without a default network, a flag that the
    embedded testbed does not support, and a ``resnet18`` that would have no effect.
    """
    for flag, instead in _NOT_EMBEDDED.items():
        if hparams.get(flag, False):
            raise InputError(
                f"the embedded testbed has no {flag}: use {instead}, or a DomainBed checkout "
                "(NDCL_BACKEND=domainbed)."
            )
    if len(input_shape) == 1 and hparams.get("frozen", False):
        return "adapter"
    name = str(hparams.get("backbone", "auto"))
    if name == "auto":
        name = _default_backbone(input_shape, hparams)
    elif name not in BACKBONES and not name.startswith("timm:"):
        raise unknown_name("backbone", name, BACKBONES)
    if hparams.get("resnet18", False) and name != "resnet18":
        raise InputError(
            f"the hyper-parameter resnet18 would have no effect: the network is {name!r}.\n"
            "Leave resnet18 out, or set backbone to 'resnet18' to use it here."
        )
    return name


def _default_backbone(input_shape: Sequence[int], hparams: Mapping[str, Any]) -> str:
    if len(input_shape) == 1:
        return "mlp"
    size = tuple(input_shape[1:3])
    if size == (28, 28):
        return "mnist_cnn"
    if size == (32, 32):
        return "wide_resnet"
    if min(size) >= 64:
        if hparams.get("resnet18", False):
            return "resnet18"
        return "resnet50_augmix" if hparams.get("resnet50_augmix", True) else "resnet50"
    raise InputError(
        f"there is no default network for inputs of shape {tuple(input_shape)} (vectors, 28×28, "
        "32×32, and 64×64 and larger have one): set the hyper-parameter backbone."
    )


def Featurizer(input_shape: Sequence[int], hparams: Mapping[str, Any]) -> Any:
    """Return the network that :func:`choose_backbone` chooses.

    It maps a batch of inputs to features (B, D); its attribute ``n_outputs`` is D.
    Raises InputError as :func:`choose_backbone` does, for weights that are missing or do not fit,
    and for ``weights`` that would have no effect.
    """
    name = choose_backbone(input_shape, hparams)
    if hparams.get("weights") and name in ("mnist_cnn", "wide_resnet", "small_cnn"):
        raise InputError(
            f"the hyper-parameter weights would have no effect: the network is {name!r}.\n"
            "Leave weights out, or set backbone to a ResNet or to 'timm:NAME'."
        )
    if name == "adapter":
        return Adapter(input_shape, hparams)
    if name == "mlp":
        return MLP(input_shape[0], hparams.get("mlp_width", 0), hparams)
    if name == "mnist_cnn":
        return MNIST_CNN(input_shape)
    if name == "wide_resnet":
        return WideResNet(input_shape)
    if name == "small_cnn":
        return SmallCNN(input_shape, hparams)
    if name in RESNETS:
        return ResNet(input_shape, hparams, name)
    return TimmBackbone(input_shape, hparams, name.removeprefix("timm:"))


def Classifier(in_features: int, out_features: int, is_nonlinear: bool = False) -> nn.Module:
    """Return a linear layer, or three of them with ReLU between, halving the width each time."""
    if not is_nonlinear:
        return nn.Linear(in_features, out_features)
    return nn.Sequential(
        nn.Linear(in_features, in_features // 2),
        nn.ReLU(),
        nn.Linear(in_features // 2, in_features // 4),
        nn.ReLU(),
        nn.Linear(in_features // 4, out_features),
    )


class WholeNetwork(nn.Module):
    """A featurizer and a classifier; in the state dict ``net.0.*`` and ``net.1.*``.

    Fish and PGrad train such a network as a whole.
    """

    def __init__(self, featurizer: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(featurizer, classifier)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, K)."""
        return self.net(x)
