"""The mean and standard deviation that a network expects of its input channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndcl_domainbed.testbed.networks.timm_models import pretrained_config

Channels = tuple[float, ...]
"""One number in [0, 1] for each of red, green and blue."""

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)


def normalization_of(hparams: Mapping[str, Any]) -> tuple[Channels, Channels]:
    """Return mean and standard deviation of the channels, for pixels in [0, 1].

    A network of timm gets those that it was trained with, which timm knows. All others, and
    hyper-parameters without ``backbone``, get ImageNet's. Raises InputError if timm is missing or
    has no such network.
    """
    backbone = str(hparams.get("backbone", "auto"))
    if not backbone.startswith("timm:"):
        return IMAGENET_MEAN, IMAGENET_STD
    config = pretrained_config(backbone.removeprefix("timm:"))
    return tuple(config.mean), tuple(config.std)
