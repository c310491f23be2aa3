"""What is said of mistakes in a setting that somebody has just written."""

from __future__ import annotations

import sys

import pytest

from imbalance_splits import settings
from imbalance_splits.errors import InputError
from imbalance_splits.settings.base import GeneratedSetting

COUNTS = {domain: {"cat": 40, "dog": 60} for domain in ("A", "B", "C")}


@pytest.mark.parametrize(
    "returned",
    [
        None,
        {"A": {"B": {"cat": 1, "dog": 2}, "C": {"cat": 1, "dog": 2}}},
        {target: {source: {"cat": 1} for source in COUNTS} for target in COUNTS},
    ],
    ids=["nothing", "one target", "one class"],
)
def test_counts_that_lack_something_are_an_error(returned):
    class Mine(GeneratedSetting):
        def train_counts(self, usable):
            return returned

    with pytest.raises(InputError, match="Mine of animals: train_counts must return target -> "):
        Mine().table("animals", COUNTS)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder whose files are settings too."""
    monkeypatch.setattr(settings, "__path__", [*settings.__path__, str(tmp_path)])
    settings._settings.cache_clear()
    yield tmp_path
    settings._settings.cache_clear()
    sys.modules.pop("imbalance_splits.settings.mine", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Mine(:\n", r"imbalance_splits.settings.mine cannot be imported: SyntaxError: "
         r"invalid syntax\nFix /.*mine.py, line 1, or leave the file out."),
        ("from imbalance_splits.settings.base import GeneratedSetting\n\n\n"
         "class Cross(GeneratedSetting):\n"
         "    def train_counts(self, usable):\n        return {}\n",
         "two of the settings are called Cross: in imbalance_splits.settings.cross and "
         "imbalance_splits.settings.mine; rename one."),
    ],
    ids=["broken", "twice"],
)  # fmt: skip
def test_a_file_that_cannot_be_taken_is_named(package, text, said):
    (package / "mine.py").write_text(text)
    with pytest.raises(InputError, match=said):
        settings.setting_names()
