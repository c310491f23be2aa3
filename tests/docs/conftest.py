import pytest

from tests.docs.workspaces import furnish


@pytest.fixture
def workspace(tmp_path, digits_root, monkeypatch):
    """The reader's working directory, furnished."""
    furnish(tmp_path, digits_root)
    monkeypatch.chdir(tmp_path)
    return tmp_path
