"""A file appears whole or not at all."""

from __future__ import annotations

import pytest

from ndcl_domainbed.training.files import write_whole


def test_the_old_content_stays_until_the_new_is_whole(tmp_path):
    path = tmp_path / "model.pkl"
    write_whole(path, lambda partial: partial.write_text("old"))

    def fails_half_way(partial):
        partial.write_text("ne")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_whole(path, fails_half_way)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
