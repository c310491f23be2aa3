"""Reliability and calibration error of predictions whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest

from ndcl_domainbed.diagnostics.calibration import calibration_error, reliability


def test_perfectly_calibrated_predictions():
    confidence = np.repeat([0.55, 0.75, 0.95], 100)
    correct = np.concatenate([np.arange(100) < share for share in (55, 75, 95)])
    found = reliability(confidence, correct, bins=10)
    assert calibration_error(found) == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(found.images, [0, 0, 0, 0, 0, 100, 0, 100, 0, 100])
    assert np.isnan(found.accuracy[0])


def test_overconfident_predictions_err_by_their_excess():
    confidence = np.full(200, 0.9)
    correct = np.arange(200) < 120
    assert calibration_error(reliability(confidence, correct)) == pytest.approx(0.3)


def test_error_is_the_mean_over_images_not_over_bins():
    confidence = np.array([0.25] * 30 + [0.85] * 10)
    correct = np.array([False] * 30 + [True] * 10)
    found = reliability(confidence, correct, bins=5)
    assert calibration_error(found) == pytest.approx((30 * 0.25 + 10 * 0.15) / 40)


def test_bins_hold_their_upper_end_and_all_images():
    confidence = np.array([0.0, 0.2, 0.2000001, 1.0])
    found = reliability(confidence, np.ones(4, dtype=bool), bins=5)
    np.testing.assert_array_equal(found.images, [2, 1, 0, 0, 1])
    np.testing.assert_allclose(found.low + 0.2, found.high)
