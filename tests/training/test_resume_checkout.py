"""A run with an algorithm of a DomainBed checkout resumes after a stop as if there had been none.

Run with ``DOMAINBED_HOME=<checkout>``. Fish and GroupDRO make a network, an optimizer and a buffer
in their first update, so that what was saved does not fit a new object of theirs.
"""

import os
from pathlib import Path

import pytest

from tests.domainbed.warm_python import WarmPython
from tests.training.runs import assert_same_run

HOME = os.environ.get("DOMAINBED_HOME")

pytestmark = pytest.mark.domainbed

STOPPED_AT_STEP_1 = """
import sys
from ndcl_domainbed.scripts import train
from tests.training.stops import stop_at

stop_at(1)
train.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    warm = WarmPython(Path(HOME), tmp_path_factory.mktemp("warm"))
    yield warm
    warm.close()


@pytest.mark.parametrize("algorithm", ["Fish", "GroupDRO"])
def test_a_stop_changes_nothing(python, tmp_path, algorithm):
    flags = ("--dataset", "Debug28", "--algorithm", algorithm, "--steps", 5, "--checkpoint_freq",
             3, "--hparams", '{"batch_size": 4}', "--output_dir")  # fmt: skip
    train = ("-m", "ndcl_domainbed", "train", *flags)
    outcome = python.run(*train, tmp_path / "alone")
    assert outcome.status == 0, outcome.err
    outcome = python.run("-c", STOPPED_AT_STEP_1, *flags, tmp_path / "stopped")
    assert outcome.status == 143, outcome.err
    outcome = python.run(*train, tmp_path / "stopped")
    assert outcome.status == 0, outcome.err
    assert "Resuming after step 1." in outcome.out
    assert_same_run(tmp_path / "stopped", tmp_path / "alone")
