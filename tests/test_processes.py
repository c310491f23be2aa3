import dataclasses
import os
import subprocess
import sys

from ndcl_domainbed import processes
from ndcl_domainbed.processes import process, this_process


def test_a_process_that_has_ended_does_not_run():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = process(child.pid)
    assert owner.runs_here() is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert owner.runs_here() is False  # dead, though its parent has not noticed
    child.communicate()
    assert owner.runs_here() is False


def test_another_process_with_the_same_number_is_another_process():
    reused = dataclasses.replace(this_process(), started="12")
    assert reused.runs_here() is False


def test_of_a_process_elsewhere_nothing_is_known():
    elsewhere = dataclasses.replace(this_process(), machine="other boot", pid=2**22)
    assert elsewhere.runs_here() is None


def test_without_proc_the_system_is_asked(monkeypatch):
    answers = []

    class Path:
        def __init__(self, name):
            answers.append(name)

        def exists(self):
            return False

        def read_text(self):
            raise FileNotFoundError

    monkeypatch.setattr(processes, "Path", Path)
    first = processes.start_of(os.getpid())
    assert first == processes.start_of(os.getpid()) != ""
    assert answers
    assert processes.start_of(2**22 + 1) is None


def test_where_there_is_no_proc_the_start_does_not_depend_on_the_locale(tmp_path, monkeypatch):
    (tmp_path / "ps").write_text('#!/bin/sh\necho "$LC_ALL $TZ"\n')
    (tmp_path / "ps").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert processes._start_from_ps(1) == "C UTC"
