"""What may be deleted: nothing that anybody runs, on whatever machine."""

from types import SimpleNamespace

import pytest

from ndcl_domainbed.run_folder import DONE, WAITING, latest_claim
from ndcl_domainbed.sweeping import claims, deleting, states
from ndcl_domainbed.sweeping.claims import ClaimWatch
from ndcl_domainbed.sweeping.jobs import make_job
from tests.sweeping.test_claims import age, take_as


@pytest.fixture
def jobs(tmp_path):
    """Four jobs that have begun and are not done; nobody has claimed them."""
    jobs = [make_job({"trial_seed": seed}, str(tmp_path), 10) for seed in range(4)]
    for job in jobs:
        job.folder.mkdir()
        (job.folder / "results.jsonl").write_text("")
    return jobs


@pytest.fixture
def pause(monkeypatch):
    """What happens in the meantime, while claims are watched; its pauses are in ``seconds``."""
    clock = SimpleNamespace(now=1000.0, seconds=[], meanwhile=lambda: None)

    def sleep(seconds):
        clock.seconds.append(seconds)
        clock.now += seconds
        clock.meanwhile()

    monkeypatch.setattr(deleting, "time", SimpleNamespace(sleep=sleep))
    monotonic = SimpleNamespace(time=claims.time.time, monotonic=lambda: clock.now)
    monkeypatch.setattr(claims, "time", monotonic)
    return clock


def test_a_folder_that_cannot_be_written_is_left_alone(jobs, monkeypatch, capsys):
    def refuse(folder, number):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(claims, "take", refuse)
    assert deleting.delete_all(jobs) == 0
    assert capsys.readouterr().out.count("Left alone: cannot write to") == 4


def test_a_job_elsewhere_that_only_looks_old_is_left_alone(jobs, pause):
    """The file server's clock makes two claims look old; one of the owners lives."""
    alive, dead = (take_as(job.folder, 0, machine="another") for job in jobs[:2])
    for claim in (alive, dead):
        age(claim.path, claims.TIMEOUT + 60)
        assert states.read_state(claim.path.parent).name == WAITING
    pause.meanwhile = lambda: age(alive.path, 1.0)  # it is touched, and looks old all the same
    assert claims.is_stale(alive)
    assert deleting.delete_all(jobs) == 3
    assert pause.seconds == [claims.WATCHED]
    assert [job.folder.exists() for job in jobs] == [True, False, False, False]
    assert latest_claim(jobs[0].folder) == alive


def test_a_claim_that_was_not_there_at_the_first_look_is_left_alone(jobs, pause):
    dead = take_as(jobs[0].folder, 0, machine="another")
    age(dead.path, claims.TIMEOUT + 60)

    def take_another():
        age(take_as(jobs[1].folder, 0, machine="another").path, claims.TIMEOUT + 60)

    pause.meanwhile = take_another
    assert deleting.delete_all(jobs[:2]) == 1
    assert [job.folder.exists() for job in jobs[:2]] == [False, True]


def test_without_claims_of_other_machines_nobody_waits(jobs, pause):
    take_as(jobs[0].folder, 0, started="12")  # an owner here that is dead
    (jobs[1].folder / "done").write_text("done")
    assert deleting.delete_all(jobs) == 3
    assert pause.seconds == []
    assert [job.folder.exists() for job in jobs] == [False, True, False, False]


def test_a_job_that_is_claimed_in_between_is_left_alone(jobs, monkeypatch):
    real = states.read_state

    def then_another_takes_it(folder, watch):
        state = real(folder, watch)
        take_as(folder, state.next_attempt, machine="another")
        return state

    monkeypatch.setattr(deleting.states, "read_state", then_another_takes_it)
    assert not deleting.delete(jobs[0], ClaimWatch())
    assert (jobs[0].folder / "results.jsonl").exists()
    assert [path.name for path in jobs[0].folder.parent.glob(".deleted*")] == []
    claim = latest_claim(jobs[0].folder)
    assert (claim.number, claim.owner.machine) == (0, "another")


def test_a_job_that_is_done_in_between_is_left_alone(jobs, monkeypatch):
    real = states.read_state

    def then_it_is_done(folder, watch):
        state = real(folder, watch)
        (folder / "done").write_text("done")
        return state

    monkeypatch.setattr(deleting.states, "read_state", then_it_is_done)
    assert not deleting.delete(jobs[0], ClaimWatch())
    monkeypatch.undo()
    assert (jobs[0].folder / "results.jsonl").exists()
    assert states.read_state(jobs[0].folder).name == DONE
    assert not (jobs[0].folder / ".lock").exists()
