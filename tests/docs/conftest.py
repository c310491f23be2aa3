import sys
from pathlib import Path

import pytest

from tests.docs.workspaces import furnish

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))


@pytest.fixture
def workspace(tmp_path, digits_root, monkeypatch):
    """The reader's working directory, furnished."""
    furnish(tmp_path, digits_root)
    monkeypatch.chdir(tmp_path)
    return tmp_path
