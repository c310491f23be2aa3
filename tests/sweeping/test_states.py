import json

from ndcl_domainbed import run_folder
from ndcl_domainbed.locks import locked
from ndcl_domainbed.run_folder import DONE, FAILED, INTERRUPTED, finished_steps
from ndcl_domainbed.sweeping import claims
from ndcl_domainbed.sweeping.states import read_state
from tests.sweeping.test_claims import age, take_as


def test_a_job_nobody_has_started_is_waiting(tmp_path):
    state = read_state(tmp_path / "none")
    assert (state.name, state.next_attempt, state.reason) == ("waiting", 0, "")
    assert read_state(tmp_path).name == "waiting"  # a folder that DomainBed's sweep made


def test_a_claimed_job_runs_until_its_end_is_written_or_its_owner_dies(tmp_path):
    claim = claims.take(tmp_path, 0)
    assert read_state(tmp_path).name == "running"
    claim.finish(FAILED, "no luck", crashed=True)
    state = read_state(tmp_path)
    assert (state.name, state.reason, state.crashed, state.next_attempt) == (
        "failed", "no luck", True, 1,
    )  # fmt: skip
    claims.take(tmp_path, 1).finish(INTERRUPTED)
    assert (read_state(tmp_path).name, read_state(tmp_path).next_attempt) == ("waiting", 2)
    take_as(tmp_path, 2, started="12")
    assert read_state(tmp_path).name == "waiting"


def test_a_job_elsewhere_runs_while_it_is_touched(tmp_path):
    claim = take_as(tmp_path, 0, machine="another")
    assert read_state(tmp_path).name == "running"
    age(claim.path, claims.TIMEOUT + 1)
    assert read_state(tmp_path).name == "waiting"
    assert read_state(tmp_path, claims.ClaimWatch()).name == "running"  # it looks longer


def test_a_job_that_ends_while_its_state_is_read_is_done(tmp_path, monkeypatch):
    claim = claims.take(tmp_path, 0)
    listed = run_folder.files_in

    def then_it_ends(folder):
        names = listed(folder)
        (folder / "done").write_text("done")
        claim.finish(DONE)
        return names

    monkeypatch.setattr(run_folder, "files_in", then_it_ends)
    state = read_state(tmp_path)
    assert (state.name, state.claim.end.outcome) == ("done", "done")


def test_progress_is_that_of_the_last_whole_record(tmp_path):
    assert finished_steps(tmp_path) == 0
    path = tmp_path / "results.jsonl"
    path.write_text("")
    assert finished_steps(tmp_path) == 0
    path.write_text("".join(json.dumps({"step": step, "x": "y" * 9000}) + "\n" for step in (0, 7)))
    assert finished_steps(tmp_path) == 8
    with path.open("a") as file:
        file.write('{"step": 14, "x')
    assert finished_steps(tmp_path) == 8
    with path.open("a") as file:
        file.write('\n{"step": 21}\n')
    assert finished_steps(tmp_path) == 22
    with path.open("a") as file:  # accuracies of hundreds of classes, under several variants
        file.write(json.dumps({"step": 28, "x": "y" * 300_000}) + "\n")
    assert finished_steps(tmp_path) == 29


def test_a_run_that_no_sweep_started_is_running_while_it_holds_its_lock(tmp_path):
    (tmp_path / ".lock").write_text("")
    assert read_state(tmp_path).name == "waiting"  # left behind by a run that was killed
    with locked(tmp_path / ".lock"):
        assert read_state(tmp_path).name == "running"
    claims.take(tmp_path, 0).finish(FAILED, "no luck")
    with locked(tmp_path / ".lock"):
        assert read_state(tmp_path).name == "running"
    assert read_state(tmp_path).name == "failed"
