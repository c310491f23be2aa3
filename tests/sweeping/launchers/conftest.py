from multiprocessing import forkserver

import pytest

from tests.sweeping import sweeps


@pytest.fixture
def traced(tmp_path, monkeypatch):
    """Have what is started in a test note what its jobs do, whoever starts them."""
    for name, value in sweeps.tracing(tmp_path).items():
        monkeypatch.setenv(name, value)
    forkserver._forkserver._stop()
    yield
    forkserver._forkserver._stop()
