from __future__ import annotations

import json

import pytest

from ndcl_domainbed.results.folders import find_runs, state_of

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\n'


def test_files_come_with_the_key_that_changes_with_their_content(tmp_path):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "results.jsonl"
    path.write_text("1")
    (first,) = find_runs(tmp_path).files
    path.write_text("12")
    (second,) = find_runs(tmp_path).files
    assert first.folder == str(tmp_path / "a")
    assert first.path == str(path)
    assert not first.done
    assert first.key != second.key


def test_the_folder_itself_may_be_a_run(tmp_path):
    (tmp_path / "results.jsonl").write_text("")
    (tmp_path / "done").write_text("")
    (file,) = find_runs(tmp_path).files
    assert file.folder == str(tmp_path)
    assert file.done


@pytest.mark.parametrize(
    ("err", "state", "reason"),
    [
        ("", "unfinished", ""),
        ("UserWarning: slow\n", "unfinished", ""),
        (TRACEBACK + "ValueError: bad\n", "failed", "ValueError: bad"),
        (TRACEBACK + "KeyboardInterrupt\n", "unfinished", ""),
        (
            TRACEBACK + "ValueError: bad\nstopped by SIGTERM after step 3; start again to go on.\n",
            "unfinished",
            "",
        ),
        ("error: loss became nan at step 3.\n", "failed", "loss became nan at step 3."),
    ],
)
def test_err_txt_tells_a_failed_run_from_an_unfinished_one(tmp_path, err, state, reason):
    (tmp_path / "err.txt").write_text(err)
    assert state_of(str(tmp_path), done=False) == (state, reason)
    assert state_of(str(tmp_path), done=True) == ("done", "")


def claim(folder, number, end):
    (folder / f"claim.{number}.json").write_text(json.dumps({"end": end}))


def test_the_claim_of_the_last_attempt_counts_before_err_txt(tmp_path):
    (tmp_path / "err.txt").write_text(TRACEBACK + "ValueError: bad\n")
    claim(tmp_path, 9, {"outcome": "failed", "reason": "out of\nmemory"})
    assert state_of(str(tmp_path), done=False) == ("failed", "out of memory")
    claim(tmp_path, 10, None)  # taken up again: it runs
    assert state_of(str(tmp_path), done=False) == ("unfinished", "")
    claim(tmp_path, 11, {"outcome": "interrupted"})
    assert state_of(str(tmp_path), done=False) == ("unfinished", "")
    (tmp_path / "claim.12.json").write_text("{torn")
    assert state_of(str(tmp_path), done=False) == ("unfinished", "")


def test_a_folder_that_is_not_there_has_not_started(tmp_path):
    assert state_of(str(tmp_path / "missing"), done=False) == ("not started", "")
