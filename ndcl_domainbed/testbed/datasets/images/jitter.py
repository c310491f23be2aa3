"""torchvision's ColorJitter for RGB images: the same pixels, in half the time.

Brightness and contrast mix every channel with one gray, so that its 256 values can be looked up;
what they become, Pillow's own blend says. The hue is :mod:`~.hue`'s.
"""

from __future__ import annotations

from PIL import Image, ImageStat
from torchvision import transforms
from torchvision.transforms import functional

from ndcl_domainbed.testbed.datasets.images.hue import shift_hue

_RAMP = Image.frombytes("L", (256, 1), bytes(range(256)))


class ColorJitter(transforms.ColorJitter):
    """torchvision's, with the same random draws."""

    def forward(self, img: Image.Image) -> Image.Image:
        """Return the RGB image ``img``, changed by what :meth:`get_params` draws, in its order."""
        order, *amounts = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        adjust = (adjust_brightness, adjust_contrast, functional.adjust_saturation, adjust_hue)
        for place in order.tolist():
            if amounts[place] is not None:
                img = adjust[place](img, amounts[place])
        return img


def adjust_brightness(image: Image.Image, factor: float) -> Image.Image:
    """Return an RGB image ``factor`` >= 0 times as bright."""
    return _blend_with_gray(image, 0, factor)


def adjust_contrast(image: Image.Image, factor: float) -> Image.Image:
    """Return an RGB image whose differences to its mean gray are ``factor`` >= 0 times as large."""
    mean = ImageStat.Stat(image.convert("L")).mean[0]
    return _blend_with_gray(image, int(mean + 0.5), factor)


def adjust_hue(image: Image.Image, turn: float) -> Image.Image:
    """Return an RGB image whose hues are ``turn``, of -0.5 to 0.5, of the circle further round."""
    return shift_hue(image, int(turn * 255))


def _blend_with_gray(image: Image.Image, gray: int, factor: float) -> Image.Image:
    table = Image.blend(Image.new("L", _RAMP.size, gray), _RAMP, factor)
    return image.point(list(table.tobytes()) * 3)
