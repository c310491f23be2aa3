import json

import pytest

from ndcl_domainbed.run_folder import FAILED, INTERRUPTED, read_state
from ndcl_domainbed.sweeping import claims

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\n'


def name_and_reason(folder):
    state = read_state(folder)
    return state.name, state.reason


@pytest.mark.parametrize(
    ("err", "state", "reason"),
    [
        ("", "unfinished", ""),
        ("UserWarning: slow\n", "unfinished", ""),
        (TRACEBACK + "ValueError: bad\n", "failed", "ValueError: bad"),
        (TRACEBACK + "KeyboardInterrupt\n", "unfinished", ""),
        (
            TRACEBACK + "ValueError: bad\nstopped by SIGTERM after step 3; start again.\n",
            "unfinished",
            "",
        ),
        ("error: loss became nan at step 3.\n", "failed", "loss became nan at step 3."),
        ("error: cannot write x.\nStart again to resume.\n", "failed", "cannot write x."),
        (TRACEBACK + "  frame\n" * 2000 + "ValueError: bad\n", "failed", "ValueError: bad"),
    ],
)
def test_err_txt_tells_a_failed_run_from_an_unfinished_one(tmp_path, err, state, reason):
    (tmp_path / "err.txt").write_text(err)
    assert name_and_reason(tmp_path) == (state, reason)
    (tmp_path / "done").write_text("done")
    assert name_and_reason(tmp_path) == ("done", "")


def test_the_claim_of_the_last_attempt_counts_before_err_txt(tmp_path):
    (tmp_path / "err.txt").write_text(TRACEBACK + "ValueError: bad\n")
    claims.take(tmp_path, 9).finish(FAILED, "out of\nmemory", crashed=True)
    assert name_and_reason(tmp_path) == ("failed", "out of memory")
    assert read_state(tmp_path).crashed
    claims.take(tmp_path, 10)  # taken up again: it runs
    assert name_and_reason(tmp_path) == ("unfinished", "")
    claims.take(tmp_path, 11).finish(INTERRUPTED)
    assert name_and_reason(tmp_path) == ("unfinished", "")
    (tmp_path / "claim.12.json").write_text("{torn")
    assert name_and_reason(tmp_path) == ("unfinished", "")
    assert read_state(tmp_path).next_attempt == 13


def test_a_claim_by_another_version_has_no_end(tmp_path):
    content = {"owner": None, "end": {"outcome": "failed", "new": 1}}
    (tmp_path / "claim.0.json").write_text(json.dumps(content))
    assert name_and_reason(tmp_path) == ("unfinished", "")


def test_a_folder_without_a_file_has_not_started(tmp_path):
    assert name_and_reason(tmp_path / "missing") == ("not started", "")
    assert name_and_reason(tmp_path) == ("not started", "")
