"""Reliability and calibration error of predictions whose calibration is known."""

import numpy as np
import pytest

from ndcl_domainbed.diagnostics.checks.confusion import calibration_error, reliability, summarize


def test_perfectly_calibrated_predictions():
    confidence = np.repeat([0.55, 0.75, 0.95], 100)
    correct = np.concatenate([np.arange(100) < share for share in (55, 75, 95)])
    found = reliability(confidence, correct, bins=10)
    assert calibration_error(found) == pytest.approx(0, abs=1e-12)
    assert found["images"].tolist() == [0, 0, 0, 0, 0, 100, 0, 100, 0, 100]
    assert np.isnan(found["accuracy"][0])


def test_error_is_the_mean_over_images_not_over_bins():
    confidence = np.array([0.25] * 30 + [0.85] * 10)
    correct = np.array([False] * 30 + [True] * 10)
    found = reliability(confidence, correct, bins=5)
    assert calibration_error(found) == pytest.approx((30 * 0.25 + 10 * 0.15) / 40)


def test_bins_hold_their_upper_end_and_all_images():
    confidence = np.array([0.0, 0.2, 0.2000001, 1.0])
    found = reliability(confidence, np.ones(4, dtype=bool), bins=5)
    assert found["images"].tolist() == [2, 1, 0, 0, 1]
    np.testing.assert_allclose(found["low"] + 0.2, found["high"])


def test_errors_by_direction():
    matrix = np.array([[8, 1, 1], [4, 5, 1], [6, 2, 2]])
    bins = reliability(np.full(30, 0.9), np.arange(30) < 15)
    found = summarize(matrix, np.array([100, 10, 10]), bins)
    assert found["accuracy"] == 0.5
    assert found["calibration_error"] == pytest.approx(0.4)
    assert found["errors_to_more"] == pytest.approx((4 + 6) / 15)
    assert found["errors_to_fewer"] == pytest.approx(2 / 15)  # the two rare classes are alike
    assert found["errors_to_more_if_even"] == pytest.approx((5 + 8) / 2 / 15)
