"""What is said of mistakes in a setting that somebody has just written."""

import pytest

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
