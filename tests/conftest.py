"""What tests of several rooms share."""

import fcntl
import os
import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background so; commands in the tests would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


collect_ignore_glob = ["sweeping/startup/*"]
"""Scripts that processes of the tests run, and that do something when they are imported."""


def pytest_collection_modifyitems(items):
    """Skip the tests marked ``domainbed`` where no checkout is named."""
    if os.environ.get("DOMAINBED_HOME"):
        return
    for item in items:
        if item.get_closest_marker("domainbed"):
            item.add_marker(pytest.mark.skip(reason="DOMAINBED_HOME names no DomainBed checkout"))


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory):
    """A folder that holds DigitsDG, made once for all processes of a test session."""
    from ndcl_domainbed.backend import get_dataset_class

    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "digits_root"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        get_dataset_class("DigitsDG")(str(folder), [0], {"data_augmentation": True})
    return folder
