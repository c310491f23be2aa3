"""Images of every kind: scaled by their documented range, or refused with the path."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageFile

from imbalance_splits.errors import InputError
from imbalance_splits.pixels import choose_size, describe_conversion, read_rgb, to_rgb

RAMP = np.array([[0, 257, 32768, 65535]], np.uint16)
GRAY = [0, 1, 128, 255]


def saved(path, image, **options):
    image.save(path, **options)
    return path


def gray_of(path, **options):
    """Return the values of one row, which are gray."""
    pixels = np.asarray(read_rgb(path, **options))
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[..., :1]).all()
    return pixels[0, :, 0].tolist()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_gray_is_scaled(tmp_path, suffix):
    path = saved(tmp_path / f"x.{suffix}", Image.fromarray(RAMP))
    assert gray_of(path) == GRAY
    assert describe_conversion(path) == ["16-bit gray: scaled to 8 bits"]


def test_other_depths_are_scaled_by_their_own_range(tmp_path):
    (tmp_path / "x.pgm").write_bytes(b"P5 3 1 1023\n" + np.array([0, 511, 1023], ">u2").tobytes())
    assert gray_of(tmp_path / "x.pgm") == [0, 127, 255]
    (tmp_path / "x.tiff").write_bytes(twelve_bit_tiff([0, 2048, 4095, 4095]))
    assert gray_of(tmp_path / "x.tiff") == [0, 128, 255, 255]
    assert describe_conversion(tmp_path / "x.tiff") == ["12-bit gray: scaled to 8 bits"]
    inverted = saved(tmp_path / "y.tiff", Image.fromarray(RAMP), tiffinfo={262: 0})
    assert gray_of(inverted) == [255 - value for value in GRAY]  # 0 is white


def twelve_bit_tiff(row):
    """Return the bytes of a TIFF of one row of an even number of 12-bit values."""
    bits = "".join(f"{value:012b}" for value in row)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    tags = [(256, len(row)), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1),
            (278, 1), (279, len(data))]  # fmt: skip
    data += b"\0" * (len(data) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return start + data + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_pixels_without_a_documented_range_are_refused(tmp_path, mode):
    path = saved(tmp_path / "x.tiff", Image.new(mode, (3, 2)))
    for read in (read_rgb, describe_conversion):
        with pytest.raises(InputError, match=rf"cannot read the image {path} .*mode {mode} have"):
            read(path)


def test_what_has_8_bits_is_converted_as_domainbed_does(tmp_path):
    rng = np.random.RandomState(0)
    image = Image.fromarray(rng.randint(0, 256, (9, 7, 3), dtype=np.uint8))
    for mode, suffix in (("RGB", "png"), ("L", "bmp"), ("1", "png"), ("P", "png"), ("CMYK", "jpg")):
        path = saved(tmp_path / f"x.{suffix}", image.convert(mode))
        with Image.open(path) as opened:
            assert read_rgb(path).tobytes() == opened.convert("RGB").tobytes()
    assert describe_conversion(tmp_path / "x.bmp") == []
    assert describe_conversion(tmp_path / "x.png") == ["palette: each pixel gets its color"]
    assert "CMYK" in describe_conversion(tmp_path / "x.jpg")[0]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white_unless_their_hidden_colors_are_asked_for(tmp_path, mode):
    if mode == "P":
        image, options = Image.new("P", (2, 1), 3), {"transparency": 3}
        image.putpalette([40, 40, 40] * 256)
        image.putpixel((1, 0), 4)
    else:
        image, options = Image.new(mode, (2, 1), (40, 40, 40, 0)[-len(mode) :]), {}
        image.putpixel((1, 0), (40, 40, 40, 255)[-len(mode) :])
    path = saved(tmp_path / "x.png", image, **options)
    assert gray_of(path) == [255, 40]
    assert gray_of(path, hidden_colors=True) == [40, 40]
    assert describe_conversion(path)[-1] == "transparency: on white"
    shown = describe_conversion(path, hidden_colors=True)[-1]
    assert shown == "transparency: transparent pixels show their hidden colors"


def test_half_transparent_pixels_are_blended(tmp_path):
    path = saved(tmp_path / "x.png", Image.new("LA", (1, 1), (0, 128)))
    assert gray_of(path) == [127]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_ignored_unless_asked_for(tmp_path, orientation):
    from PIL import ImageOps

    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "x.png", Image.fromarray(pixels), exif=exif)
    with Image.open(path) as image:
        turned = ImageOps.exif_transpose(image).convert("RGB")
        opened = to_rgb(image, exif_rotation=True)
    assert np.array_equal(np.asarray(read_rgb(path))[..., 0], pixels)
    found = read_rgb(path, exif_rotation=True)
    assert (found.size, found.tobytes()) == (turned.size, turned.tobytes())
    assert (opened.size, opened.tobytes()) == (turned.size, turned.tobytes())
    assert any("EXIF" in line for line in describe_conversion(path)) == (orientation > 1)


def test_the_first_of_several_frames_is_used(tmp_path):
    frames = [Image.new("L", (2, 2), value) for value in (10, 20)]
    path = saved(tmp_path / "x.tiff", frames[0], save_all=True, append_images=frames[1:])
    assert gray_of(path) == [10, 10]
    assert describe_conversion(path) == ["several frames: the first is used"]


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "gone"])
def test_a_file_that_cannot_be_decoded_is_named_once(tmp_path, damage, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)  # which DomainBed sets
    noise = np.random.RandomState(0).randint(0, 256, (50, 50, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "jpeg")
    half = content.getvalue()[: len(content.getvalue()) // 2]
    path = tmp_path / "x.jpg"
    if damage != "gone":
        path.write_bytes({"truncated": half, "text": b"no image\n", "empty": b""}[damage])
    with pytest.raises(InputError) as error:
        read_rgb(path)
    assert str(error.value).count(str(path)) == 1
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([28, 28], 28), ([32], 32), ([32, 64, 64], 224), ([64, 32, 32], 224), ([28, 32], 224),
        ([30], 224), ([(28, 32)], 224), ([(4000, 3000), 32], 224), ([], 224),
    ],
)  # fmt: skip
def test_all_images_decide_the_size(tmp_path, sizes, chosen):
    paths = []
    for number, size in enumerate(sizes):
        shape = size if isinstance(size, tuple) else (size, size)
        paths.append(saved(tmp_path / f"{number}.png", Image.new("1", shape)))
    size, reason = choose_size(paths)
    assert size == chosen
    if paths:
        odd = [path for path in paths if str(path) in reason]
        assert len(odd) == (chosen == 224)
