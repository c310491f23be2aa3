"""The commit in a report: of real checkouts, and where there is none."""

import os

import pytest

import ndcl_domainbed
from ndcl_domainbed.git import NoAnswer, short_commit
from ndcl_domainbed.results import read_sweep
from ndcl_domainbed.results.leaderboards import build
from ndcl_domainbed.results.report import page
from ndcl_domainbed.results.report.provenance import find_commit
from tests.git_command import git
from tests.results.builder import record, write_run


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout that holds a package, with one commit."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # a hook that runs the tests
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "checkout"
    (root / "ndcl_domainbed").mkdir(parents=True)
    (root / "ndcl_domainbed" / "version.py").write_text("__version__ = '1'\n")
    (root / "README.md").write_text("read me\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--no-gpg-sign", "--message", "first")
    return root


def test_a_clean_checkout_is_told_by_its_short_find_commit(checkout):
    (checkout / "notes.txt").write_text("beside the packages, so of no matter\n")
    assert find_commit(checkout) == f"commit {git(checkout, 'rev-parse', '--short', 'HEAD')}"


@pytest.mark.parametrize("file", ["README.md", "ndcl_domainbed/new.py"])
def test_changes_are_told(checkout, file):
    (checkout / file).write_text("other\n")
    assert find_commit(checkout).endswith(", with changes")


def test_variables_of_git_do_not_lead_elsewhere(checkout, tmp_path, monkeypatch):
    expected = find_commit(checkout)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert find_commit(checkout) == expected != ""
    assert short_commit(checkout) == expected.removeprefix("commit ")


def test_a_git_that_does_not_answer_is_not_waited_for(checkout, tmp_path, monkeypatch):
    silent = tmp_path / "git"
    silent.write_text("#!/bin/sh\nread line < pipe\n")
    silent.chmod(0o755)
    os.mkfifo(checkout / "pipe")
    monkeypatch.setattr("ndcl_domainbed.git.SECONDS", 0.1)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(checkout)
    assert find_commit(checkout) == ""
    with pytest.raises(NoAnswer):
        short_commit(checkout)


def test_without_a_checkout_nothing_is_said(checkout, tmp_path, monkeypatch):
    guest = checkout / "venv"
    (guest / "ndcl_domainbed").mkdir(parents=True)
    (guest / "ndcl_domainbed" / "version.py").write_text("")
    assert find_commit(guest) == ""
    (tmp_path / "plain").mkdir()
    assert find_commit(tmp_path / "plain") == ""
    assert find_commit(tmp_path / "missing") == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_commit(checkout) == ""


def test_the_report_says_the_commit_that_made_it(tmp_path, monkeypatch):
    write_run(tmp_path / "run", [record(0, {"0_in": 0.1, "0_out": 0.1}, test_envs=[0])])
    sweep = read_sweep(tmp_path)
    built = build(sweep, ["oracle"])
    monkeypatch.setattr(
        "ndcl_domainbed.results.report.provenance.find_commit", lambda: "commit 1a2b3c4"
    )
    version = ndcl_domainbed.version.__version__
    assert f"<dd>ndcl-domainbed {version} (commit 1a2b3c4), Python" in page(sweep, built)
    monkeypatch.setattr("ndcl_domainbed.results.report.provenance.find_commit", lambda: "")
    assert f"<dd>ndcl-domainbed {version}, Python" in page(sweep, built)
