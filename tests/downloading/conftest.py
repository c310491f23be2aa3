import pytest

from tests.downloading.hosts import Host


@pytest.fixture
def host(monkeypatch):
    """A host that serves nothing yet; pauses between retries take no time."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with Host() as running:
        yield running
