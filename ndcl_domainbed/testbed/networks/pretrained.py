"""Fetches the weights of a pretrained network, for jobs that run without a network."""

from __future__ import annotations

import torch

from imbalance_splits.errors import InputError, unknown_name
from ndcl_domainbed.testbed.networks.residual import RESNETS, ResNet
from ndcl_domainbed.testbed.networks.timm_backbone import TimmBackbone
from ndcl_domainbed.testbed.networks.timm_models import pretrained_config
from ndcl_domainbed.testbed.networks.weight_downloads import quick_to_fail

DINOV2 = "dinov2_vitb14"
"""The vision transformer of a DomainBed checkout (its hyper-parameter ``vit``)."""


def download_weights(name: str) -> str:
    """Load a pretrained network once, which keeps its weights; return which they are.

    ``name`` is 'resnet18', 'resnet50', 'resnet50_augmix', 'timm:NAME' or 'dinov2_vitb14'. Raises
    InputError for any other, and for weights that cannot be downloaded.
    """
    if name == DINOV2:
        return _download_dinov2()
    try:
        if name in RESNETS:
            source = ResNet((3, 224, 224), {}, name).weights_source
        elif name.startswith("timm:"):
            shape = pretrained_config(name.removeprefix("timm:")).input_size
            source = TimmBackbone(shape, {}, name.removeprefix("timm:")).weights_source
        else:
            raise unknown_name("weights", name, [*RESNETS, "timm:NAME", DINOV2])
    except InputError as error:
        if error.__cause__ is None:
            raise
        raise InputError(str(error).splitlines()[0]) from error  # the rest names this command
    return f"{source.weights}, {source.digest}"


def _download_dinov2() -> str:
    try:
        with quick_to_fail():
            torch.hub.load("facebookresearch/dinov2", DINOV2, trust_repo=True)
    except Exception as error:  # the repository's own code runs
        raise InputError(f"{DINOV2} could not be downloaded: {error}") from error
    return "facebookresearch/dinov2, code and weights"
