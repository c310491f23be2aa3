from __future__ import annotations

from ndcl_domainbed.results.folders import find_runs


def test_files_come_with_the_key_that_changes_with_their_content(tmp_path):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "results.jsonl"
    path.write_text("1")
    (first,) = find_runs(tmp_path).files
    path.write_text("12")
    (second,) = find_runs(tmp_path).files
    assert first.folder == str(tmp_path / "a")
    assert first.path == str(path)
    assert not first.is_done
    assert first.key != second.key


def test_the_folder_itself_may_be_a_run(tmp_path):
    (tmp_path / "results.jsonl").write_text("")
    (tmp_path / "done").write_text("")
    (file,) = find_runs(tmp_path).files
    assert file.folder == str(tmp_path)
    assert file.is_done
