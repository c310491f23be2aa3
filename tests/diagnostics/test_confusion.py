"""What is said of a model that is right exactly as often as it is confident."""

from __future__ import annotations

import numpy as np
import pytest

from ndcl_domainbed.diagnostics.calibration import reliability
from ndcl_domainbed.diagnostics.named import confusion


@pytest.mark.parametrize(("confidence", "said"), [(1.0, "as often as"), (0.9, "more often than")])
def test_the_gap_of_a_model_that_is_always_right(confidence, said):
    found = reliability(np.full(8, confidence), np.ones(8, dtype=bool))
    assert confusion._gap(found).startswith(said)
