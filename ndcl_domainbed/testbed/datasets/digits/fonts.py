"""The shapes of printed digits, from the fonts that matplotlib ships."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed.datasets.digits.sources import needs_extra

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmtt10",
)
"""Files (without .ttf) of DejaVu, STIX and Computer Modern that hold lining digits."""

PIXELS = 96
"""The size at which a glyph is drawn before it is thresholded and turned."""


@needs_extra
def font_path(name: str) -> Path:
    """Return the file of a font. Raises InputError if this matplotlib does not ship it."""
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")
    if not path.is_file():
        raise InputError(
            f"making DigitsDG needs the font {path}, which matplotlib {matplotlib.__version__} "
            "does not have. Install another version: pip install -U matplotlib"
        )
    return path


def glyphs() -> list[list[np.ndarray]]:
    """Return the shape of every digit in every font, as [font][digit] -> bool (height, width).

    A shape is cut to its bounding box. Drawing large and thresholding makes it insensitive to
    how a version of FreeType smooths edges. Raises InputError if a font is missing.
    """
    from PIL import ImageFont

    shapes = []
    for name in FONTS:
        path = str(font_path(name))
        font = ImageFont.truetype(path, PIXELS, layout_engine=ImageFont.Layout.BASIC)
        shapes.append([_shape(font, str(digit)) for digit in range(10)])
    return shapes


def _shape(font: FreeTypeFont, text: str) -> np.ndarray:
    """Draw ``text`` and return where ink covers at least half a pixel."""
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (2 * PIXELS, 2 * PIXELS))
    ImageDraw.Draw(canvas).text((PIXELS // 2, PIXELS // 4), text, fill=255, font=font)
    ink = np.asarray(canvas) >= 128
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
