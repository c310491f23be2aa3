"""Any network of timm as a featurizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ndcl_domainbed.testbed.networks.batch_norm import FreezableBatchNorm
from ndcl_domainbed.testbed.networks.timm_models import (
    build_for_size,
    import_timm,
    pretrained_config,
)
from ndcl_domainbed.testbed.networks.weights import (
    State,
    WeightsSource,
    packaged_weights,
    read_weights,
    with_weights,
    with_weights_of_file,
)


class TimmBackbone(FreezableBatchNorm):
    """Any network of timm, by its name there, without its last layer.

    Dropout (``resnet_dropout``) follows the pooled features. The weights are those of the file
    that ``weights`` names, if any; else, with ``pretrained``, those of an installed package
    (:data:`~.weights.WEIGHTS_PACKAGES`) or of timm's hub; else random. Input (B, C, H, W), output
    (B, n_outputs). Raises InputError if timm or the weights are missing, the weights do not fit,
    timm knows no such name, or the network does not take images of ``input_shape``.
    """

    def __init__(self, input_shape: Sequence[int], hparams: Mapping[str, Any], name: str) -> None:
        super().__init__(hparams)
        make, weights = _maker(name, hparams)
        self.network, self.n_outputs = build_for_size(name, input_shape, make)
        published = self.network
        if input_shape[0] != 3 and weights != "random":  # the first layer was adapted
            with torch.random.fork_rng(devices=[]):
                published = build_for_size(name, (3, *input_shape[1:]), make)[0]
        self.weights_source = WeightsSource.of_network(published, f"timm:{name}", weights)
        self.dropout = nn.Dropout(hparams.get("resnet_dropout", 0.0))
        self.train()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.network(x))


def _maker(name: str, hparams: Mapping[str, Any]) -> tuple[Callable[..., Any], str]:
    """Return what makes the network with its weights, given timm's options, and their name."""
    timm = import_timm(f"backbone 'timm:{name}'", "choose another backbone")
    config = pretrained_config(name)
    path = str(hparams.get("weights", ""))
    classifier = config.classifier or ()
    classifier = [classifier] if isinstance(classifier, str) else list(classifier)

    def random(**options: Any) -> Any:
        return timm.create_model(name, pretrained=False, **options)

    def from_hub(**options: Any) -> Any:
        return with_weights(
            lambda: timm.create_model(name, pretrained=True, **options), f"timm:{name}"
        )

    def from_file(**options: Any) -> Any:
        state = read_weights(path, random(**options).state_dict(), classifier)
        make = _from_state(timm, name, state)
        return with_weights_of_file(lambda: make(**options), path, f"timm's {name}")

    if path:
        return from_file, f"file {Path(path).name}"
    if not hparams.get("pretrained", True):
        return random, "random"
    packaged = packaged_weights(name, lambda: random().state_dict())
    if packaged is None:
        return from_hub, config.hf_hub_id or f"timm/{name}"
    state, label = packaged
    left = {key: value for key, value in state.items() if key.split(".")[0] not in classifier}
    return _from_state(timm, name, left), label


def _from_state(timm: Any, name: str, state: State) -> Callable[..., Any]:
    """Return what makes the network with ``state``, which timm converts as if from its hub.

    It interpolates position embeddings to the size of the images and adapts the first layer to
    their channels; all entries are required, and there is no classifier.
    """

    def make(**options: Any) -> Any:
        overlay = {"state_dict": dict(state), "num_classes": 0, "classifier": None, "source": ""}
        network = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, **options
        )
        network.pretrained_cfg["state_dict"] = None  # a copy of the network needs no second one
        return network

    return make
