"""A sheet of samples of a dataset of small images: domains in rows, classes in columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ndcl_domainbed.testbed.datasets.digits import Images, fonts

ZOOM = 2
ROWS = 3
"""Rows of images per domain."""
COLUMNS = 2
"""Columns of images per class."""
GAP = 8
MARGIN = 96
"""Space for the names of the domains."""


def contact_sheet(domains: Mapping[str, Images]) -> Image.Image:
    """Return a sheet with six images of every class from every domain, evenly picked."""
    blocks = [_block(images, labels) for images, labels in domains.values()]
    height = len(blocks) * (blocks[0].height + GAP) + GAP
    sheet = Image.new("RGB", (MARGIN + blocks[0].width + GAP, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(str(fonts.font_path("DejaVuSans")), 18)
    for index, (name, block) in enumerate(zip(domains, blocks, strict=True)):
        top = GAP + index * (block.height + GAP)
        draw.text((GAP, top + block.height // 2), name, fill="black", font=font, anchor="lm")
        sheet.paste(block, (MARGIN, top))
    return sheet


def _block(images: np.ndarray, labels: np.ndarray) -> Image.Image:
    """Return one domain's part of the sheet."""
    framed = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=255)
    _, height, width, _ = framed.shape
    columns = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        picked = members[np.arange(ROWS * COLUMNS) * len(members) // (ROWS * COLUMNS)]
        tiles = framed[picked].reshape(ROWS, COLUMNS, height, width, 3)
        columns.append(tiles.transpose(0, 2, 1, 3, 4).reshape(ROWS * height, COLUMNS * width, 3))
    block = Image.fromarray(np.concatenate(columns, axis=1))
    return block.resize((block.width * ZOOM, block.height * ZOOM), Image.Resampling.NEAREST)
