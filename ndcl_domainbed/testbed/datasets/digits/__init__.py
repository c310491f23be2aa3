"""The four domains of DigitsDG, each made from what Python packages ship.

All random choices come from NumPy's RandomState, whose streams are frozen, and all arithmetic on
pixels is in integers, so that the images are the same on every machine.
"""

from __future__ import annotations

import numpy as np

Images = tuple[np.ndarray, np.ndarray]
"""Images (n, 28, 28, 3) uint8 and their digits (n,) int64."""

SIZE = 28
"""Height and width of every image."""
