"""What the commands with many flags say of one that they do not have."""

import pytest

from tests.command_line import call


@pytest.mark.parametrize(
    "command", ["train", "collect_results --input_dir runs", "sweep launch --output_dir runs"]
)
def test_a_flag_that_there_is_not_is_an_error_of_two_lines(command):
    outcome = call(*command.split(), "--algoritm", "NDCL")
    assert outcome.status == 2
    usage, error = outcome.err.splitlines()
    assert usage.startswith("usage: ndcl-domainbed ")
    assert error.endswith("error: unrecognized arguments: --algoritm NDCL")
