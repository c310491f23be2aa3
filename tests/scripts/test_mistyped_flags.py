"""What the commands with many flags say of one that they do not have."""

import pytest

from tests.command_line import call


@pytest.mark.parametrize("flag", ["--algoritm", "--part", "--targ"])  # two of them abbreviated
@pytest.mark.parametrize(
    "command",
    ["train", "collect_results --input_dir runs", "sweep launch --output_dir runs",
     "splits show PACS Cross"],
)  # fmt: skip
def test_a_flag_that_there_is_not_is_an_error_of_two_lines(command, flag):
    outcome = call(*command.split(), flag, "NDCL")
    assert outcome.status == 2
    usage, error = outcome.err.splitlines()
    assert usage.startswith("usage: ndcl-domainbed ")
    assert error.endswith(f"error: unrecognized arguments: {flag} NDCL")
