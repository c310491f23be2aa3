"""SupCon by hand; the rest of what it must do is in test_contrasts."""

from __future__ import annotations

import math

import pytest
import torch

from ndcl_domainbed.losses import supcon_contrast

CORNERS = torch.eye(3, dtype=torch.float64)


def test_by_hand():
    # As for InfoNCE: e / (e + 1 + 1) for both anchors of class 0; a class of one sample.
    labels = torch.tensor([0, 0, 1])
    loss = supcon_contrast(CORNERS[[0, 0, 1]], labels, CORNERS[[2]], torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log((math.e + 2) / math.e) / 2, rel=1e-12)


def test_positives_compete_with_each_other():
    labels = torch.tensor([0, 0, 0, 1])
    none = torch.zeros(0, dtype=torch.int64)
    loss = supcon_contrast(CORNERS[[0, 0, 0, 1]], labels, CORNERS[:0], none)
    assert loss.item() == pytest.approx(math.log((2 * math.e + 1) / math.e) / 2, rel=1e-12)
