import sys

import numpy as np
import pytest
from PIL import Image
from PIL.ImageColor import getrgb

from imbalance_splits.errors import InputError
from imbalance_splits.make_table import table_for
from imbalance_splits.plot import COLORS, plot_table


def shares(path):
    """Return the share of the picture that each shot group's color covers."""
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    return {group: (pixels == getrgb(color)).all(axis=1).mean() for group, color in COLORS.items()}


@pytest.mark.parametrize(
    ("dataset", "setting", "targets"),
    [
        ("PACS", "TotalHeavyTail", None),
        ("OfficeHome", "Duality", ["A"]),
    ],
)
def test_the_groups_that_occur_are_drawn(tmp_path, dataset, setting, targets):
    plot_table(table_for(dataset, setting), tmp_path / "t.png")
    covered = shares(tmp_path / "t.png")
    assert min(covered["many"], covered["medium"], covered["few"]) > 1e-4
    assert covered["zero"] < 1e-3  # the edges of letters happen to have its gray


def test_the_area_follows_the_counts(tmp_path):
    table = table_for("PACS", "Balanced")
    plot_table(table, tmp_path / "flat.png", ["A"])
    table.train_counts["A"]["P"] = dict.fromkeys(table.classes, 0)
    plot_table(table, tmp_path / "less.png", ["A"])
    # all classes are Medium; one of the three sources has lost its bars
    less, flat = shares(tmp_path / "less.png"), shares(tmp_path / "flat.png")
    assert less["many"] + less["medium"] + less["few"] == pytest.approx(
        2 / 3 * (flat["many"] + flat["medium"] + flat["few"]), rel=0.02
    )


@pytest.mark.parametrize("suffix", [".pdf", ".svg"])
def test_the_same_table_gives_the_same_file(tmp_path, suffix):
    table = table_for("VLCS", "Cross")
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        plot_table(table, path, ["V"])
    assert paths[0].stat().st_size > 0
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("suffix", [".doc", ".jpg"])
def test_a_format_that_there_is_not(tmp_path, suffix):
    with pytest.raises(InputError, match=r"a figure is written as \.png, \.pdf, \.svg"):
        plot_table(table_for("VLCS", "Cross"), tmp_path / f"t{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_names_with_dollar_signs_are_drawn_as_they_are(tmp_path):
    counts = {f"${d}": {"$5 to $10": 50, "$a_$": 60, "$\\x": 70} for d in "abc"}
    plot_table(table_for("own", "Balanced", counts), tmp_path / "t.png")
    assert (tmp_path / "t.png").is_file()


def test_matplotlib_is_an_extra(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="figures need matplotlib; install it with"):
        plot_table(table_for("VLCS", "Cross"), tmp_path / "t.png")
