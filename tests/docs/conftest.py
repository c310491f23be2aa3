from __future__ import annotations

import os

import pytest

from tests.docs.workspaces import furnish


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """One folder for DigitsDG, which all workers of a test session share."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the workers' folders lie in that of the session
        folder = folder.parent
    folder = folder / "guide_data"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def workspace(tmp_path, data, monkeypatch):
    """The reader's working directory, with what he has around him in it."""
    furnish(tmp_path, data)
    monkeypatch.chdir(tmp_path)
    return tmp_path
