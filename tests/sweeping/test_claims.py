import dataclasses
import errno
import json
import multiprocessing
import os
import resource
import shutil
import threading

import pytest

from ndcl_domainbed.processes import this_process
from ndcl_domainbed.run_folder import (
    FAILED,
    RUNNING,
    WAITING,
    Claim,
    State,
    all_claims,
    latest_claim,
)
from ndcl_domainbed.sweeping import claims, states, worker
from ndcl_domainbed.sweeping.claims import ClaimWatch, take


@pytest.fixture
def clock(monkeypatch):
    """A monotonic clock that stands still until it is moved."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(claims.time, "monotonic", lambda: Clock.now)
    return Clock


def take_as(folder, number, **changes):
    """Claim a job in the name of another process."""
    claim = take(folder, number)
    owner = dataclasses.replace(this_process(), **changes)
    text = json.loads(claim.path.read_text())
    text["owner"] = dataclasses.asdict(owner)
    claim.path.write_text(json.dumps(text))
    return latest_claim(folder)


def age(path, seconds):
    """Make a file look as if it was last touched some seconds ago."""
    touched = path.stat().st_mtime - seconds
    os.utime(path, (touched, touched))


def test_a_claim_names_its_owner_and_how_it_ended(tmp_path):
    claim = take(tmp_path / "job", 0)
    assert latest_claim(tmp_path / "job") == claim
    assert claim.owner == this_process()
    assert claim.end is None
    claim.finish(FAILED, "why", crashed=True)
    end = latest_claim(tmp_path / "job").end
    assert (end.outcome, end.reason, end.crashed) == ("failed", "why", True)
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["claim.0.json"]


def test_an_attempt_is_claimed_once(tmp_path):
    assert take(tmp_path, 0) is not None
    assert take(tmp_path, 0) is None
    assert take(tmp_path, 1) is not None
    assert [claim.number for claim in all_claims(tmp_path)] == [0, 1]
    for number in range(2, 12):
        take(tmp_path, number)
    assert latest_claim(tmp_path).number == 11


def _race(folder, number, start, results):
    start.wait()
    results.put(take(folder, number) is not None)


def test_of_many_processes_one_gets_the_claim(tmp_path):
    fork = multiprocessing.get_context("fork")
    for number in range(2):
        start, results = fork.Event(), fork.Queue()
        racers = [
            fork.Process(target=_race, args=(tmp_path, number, start, results)) for _ in range(8)
        ]
        for racer in racers:
            racer.start()
        start.set()
        assert sorted(results.get() for _ in racers) == [False] * 7 + [True]
        for racer in racers:
            racer.join()


def test_a_disk_that_is_full_leaves_no_claim(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            take(tmp_path, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_an_owner_here_is_dead_at_once_or_alive_for_ever(tmp_path):
    claim = take(tmp_path, 0)
    age(claim.path, 1e6)
    assert not ClaimWatch().owner_is_dead(claim)
    claim = take_as(tmp_path, 1, started="12")
    assert ClaimWatch().owner_is_dead(claim)


def test_an_owner_elsewhere_is_dead_when_its_claim_is_old_and_does_not_move(tmp_path, clock):
    claim = take_as(tmp_path, 0, machine="another")
    watch = ClaimWatch()
    for _ in range(5):  # watched, but not old
        assert not watch.owner_is_dead(claim)
        clock.now += claims.WATCHED
    age(claim.path, claims.TIMEOUT + 1)
    assert not watch.owner_is_dead(claim)  # old, but not watched since
    clock.now += claims.WATCHED
    assert watch.owner_is_dead(claim)
    claim.touch()
    assert not watch.owner_is_dead(claim)


def test_a_clock_that_jumps_forward_kills_nobody(tmp_path, clock, monkeypatch):
    """The file system's clock goes ahead by an hour; the owner touches its claim all the same."""
    claim = take_as(tmp_path, 0, machine="another")
    watch = ClaimWatch()
    real = claims._file_system_time
    monkeypatch.setattr(claims, "_file_system_time", lambda folder: real(folder) + 3600)
    for beat in range(10):
        assert not watch.owner_is_dead(claim)
        age(claim.path, beat)  # a touch: another time than before
        clock.now += claims.HEARTBEAT


def test_a_clock_that_goes_back_or_differs_kills_nobody(tmp_path, clock, monkeypatch):
    claim = take_as(tmp_path, 0, machine="another")
    monkeypatch.setattr(claims.time, "time", lambda: 9e9)
    age(claim.path, -3600)
    watch = ClaimWatch()
    assert not watch.owner_is_dead(claim)
    clock.now += 1e6
    assert not watch.owner_is_dead(claim)


def test_attempts_count_by_their_numbers_whatever_the_clock_says(tmp_path, monkeypatch):
    times = iter(range(9000, 0, -1000))
    monkeypatch.setattr(claims.time, "time", lambda: float(next(times)))
    for number in range(3):
        claim = take(tmp_path, number)
        assert states.read_state(tmp_path) == State(RUNNING, claim)
        claim.finish(FAILED, "no luck", crashed=True)
        assert latest_claim(tmp_path).end.at < claim.since
        assert states.read_state(tmp_path).next_attempt == number + 1


def test_who_may_not_write_to_the_folder_sees_the_state_all_the_same(tmp_path, monkeypatch):
    """As a colleague on another machine, who looks at a sweep in a shared folder."""
    claim = take_as(tmp_path, 0, machine="another")
    opened = claims.Path.open

    def refuse(path, mode="r", *args, **flags):
        if "w" in mode:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, mode, *args, **flags)

    monkeypatch.setattr(claims.Path, "open", refuse)
    assert states.read_state(tmp_path).name == RUNNING
    age(claim.path, claims.TIMEOUT + 60)
    assert states.read_state(tmp_path).name == WAITING


def test_the_claim_of_a_folder_that_has_just_been_deleted_is_stale(tmp_path):
    claim = take_as(tmp_path / "job", 0, machine="another")
    shutil.rmtree(tmp_path / "job")
    assert claims.is_stale(claim)


def test_a_claim_that_cannot_be_read_belongs_to_somebody(tmp_path, clock):
    (tmp_path / "claim.0.json").write_text('{"owner": {"ho')
    claim = latest_claim(tmp_path)
    watch = ClaimWatch()
    assert not watch.owner_is_dead(claim)
    age(claim.path, claims.TIMEOUT + 1)
    watch.owner_is_dead(claim)
    clock.now += claims.WATCHED
    assert watch.owner_is_dead(claim)


def test_an_owner_sees_that_it_has_lost_its_job(tmp_path):
    claim = take(tmp_path / "job", 0)
    assert not claim.is_lost()
    take(tmp_path / "job", 1)
    assert claim.is_lost()
    other = take(tmp_path / "other", 0)
    other.path.unlink()
    assert other.is_lost()


def _lose(folder):
    claims.HEARTBEAT = 0.01
    claim = take(folder, 0)
    worker.keep_alive(claim)
    take(folder, 1)
    multiprocessing.Event().wait()


def test_a_process_that_has_lost_its_job_dies(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_lose, args=(tmp_path,))
    process.start()
    process.join(20)
    assert process.exitcode == -9


def test_keeping_alive_touches_the_claim(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "HEARTBEAT", 0.001)
    touched = threading.Event()
    monkeypatch.setattr(Claim, "touch", lambda claim: touched.set())
    stop = worker.keep_alive(take(tmp_path, 0))
    assert touched.wait(20)
    stop.set()
