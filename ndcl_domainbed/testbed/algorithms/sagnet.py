"""Style-agnostic networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from imbalance_splits.errors import InputError
from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam, power_uniform
from ndcl_domainbed.testbed import networks
from ndcl_domainbed.testbed.algorithms.base import (
    Algorithm,
    Minibatches,
    Shape,
    Unlabeled,
    concatenate,
    step,
    to_floats,
)


def _normalize(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return features (B, D) normalized over D, with their means and variances (B, 1)."""
    mean, variance = z.mean(dim=1, keepdim=True), z.var(dim=1, keepdim=True)
    return (z - mean) / (variance + 1e-5).sqrt(), mean, variance


def _draw(z: Tensor) -> tuple[Tensor, Tensor]:
    """Draw interpolation weights (B, 1) and a permutation (B,) of the samples.

    From the CPU's generator, so that a seed means the same on every device.
    """
    weights, permutation = torch.rand(len(z), 1), torch.randperm(len(z))
    return weights.to(z.device), permutation.to(z.device)


def randomized_style(z: Tensor) -> Tensor:
    """Return features (B, D) whose mean and variance are interpolated with another sample's."""
    normalized, mean, variance = _normalize(z)
    weight, other = _draw(z)
    mean = weight * mean + (1 - weight) * mean[other]
    variance = weight * variance + (1 - weight) * variance[other]
    return normalized * (variance + 1e-5).sqrt() + mean


def randomized_content(z: Tensor) -> Tensor:
    """Return features (B, D) of another sample's content, a constant, in each sample's style."""
    normalized, mean, variance = _normalize(z)
    _, other = _draw(z)
    return normalized[other].detach() * (variance + 1e-5).sqrt() + mean


class SagNet(Algorithm):
    """Style-Agnostic Network, on the pooled features.

    Nam, Lee, Park, Yoon & Yoo, "Reducing Domain Gap by Reducing Style Bias", CVPR 2021,
    arXiv:1910.11645, Algorithm 1.

    ``network_c`` classifies the content under random styles, ``network_s`` the style under
    random contents, and the featurizer ``network_f`` is trained to make the output of
    ``network_s`` uniform, with weight ``sag_w_adv``. Domain labels are not used.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "sag_w_adv": Hparam(0.1, power_uniform(10, -2, 1), within=NOT_NEGATIVE)
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        self.network_f = networks.Featurizer(input_shape, self.hparams)
        if not any(True for _ in self.network_f.parameters()):
            raise InputError(
                "SagNet trains the featurizer against the style, and a linear probe has none: "
                "set adapter_depth to 1 or more."
            )
        width, nonlinear = self.network_f.n_outputs, self.hparams["nonlinear_classifier"]
        self.network_c = networks.Classifier(width, num_classes, nonlinear)
        self.network_s = networks.Classifier(width, num_classes, nonlinear)
        self.optimizer_f = self._adam(self.network_f)
        self.optimizer_c = self._adam(self.network_c)
        self.optimizer_s = self._adam(self.network_s)

    def _adam(self, module: torch.nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(
            module.parameters(), lr=self.hparams["lr"], weight_decay=self.hparams["weight_decay"]
        )

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Train content, then style, then the featurizer against the style; the three losses."""
        x, y = concatenate(minibatches)

        loss_c = F.cross_entropy(self.network_c(randomized_style(self.network_f(x))), y)
        self.optimizer_f.zero_grad()
        step(self.optimizer_c, loss_c)
        self.optimizer_f.step()

        with torch.no_grad():  # the style's loss trains network_s alone
            z = self.network_f(x)
        loss_s = F.cross_entropy(self.network_s(randomized_content(z)), y)
        step(self.optimizer_s, loss_s)

        style_logits = self.network_s(randomized_content(self.network_f(x)))
        uniformity = -style_logits.log_softmax(dim=1).mean(dim=1).mean()
        loss_adv = self.hparams["sag_w_adv"] * uniformity
        step(self.optimizer_f, loss_adv)
        return to_floats(loss_c=loss_c, loss_s=loss_s, loss_adv=loss_adv)

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, K), without randomization."""
        return self.network_c(self.network_f(x))
