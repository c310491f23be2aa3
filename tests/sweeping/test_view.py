import io
import json

import pytest
from rich.console import Console

from ndcl_domainbed.run_folder import FAILED, State
from ndcl_domainbed.sweeping import claims, states, view
from ndcl_domainbed.sweeping.jobs import make_job

ARGS = {"algorithm": "ERM", "dataset": "PACS", "test_envs": [0], "hparams_seed": 0}


@pytest.fixture
def jobs(tmp_path):
    jobs = [make_job({**ARGS, "trial_seed": seed}, str(tmp_path), 10) for seed in range(4)]
    for job in jobs:
        job.folder.mkdir()
    return jobs


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(view.time, "monotonic", lambda: Clock.now)
    return Clock


def record(job, step):
    (job.folder / "results.jsonl").write_text(json.dumps({"step": step}) + "\n")


def failed(job, reason):
    claim = claims.take(job.folder, 0)
    claim.finish(FAILED, reason)
    return states.read_state(job.folder)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"),
        (7260, "2 h 1 min"), (90000, "1 d 1 h"),
    ],
)  # fmt: skip
def test_durations_have_two_units(seconds, text):
    assert view.duration(seconds) == text


def test_the_time_to_go_follows_the_pace(jobs, clock):
    display = view.View(jobs)
    assert display.seconds_to_go({}) is None
    record(jobs[1], 3)
    display.started(jobs[0])
    display.started(jobs[1])  # goes on after 4 of its 10 steps
    clock.now = 30.0
    display.ended(jobs[0], State("done"))
    assert display.seconds_to_go({}) == pytest.approx(3.0 * (6 + 10 + 10))
    assert display.seconds_to_go({jobs[1]: 9}) == pytest.approx(30 / 15 * (1 + 10 + 10))


def test_what_failed_or_was_done_elsewhere_says_nothing_of_the_pace(jobs, clock):
    display = view.View(jobs)
    display.started(jobs[0])
    clock.now = 30.0
    display.ended(jobs[0], State("failed"))
    display.ended(jobs[1], State("done"))
    assert display.seconds_to_go({}) is None
    assert (display.n_ended, display.n_failed) == (2, 1)


def test_plain_lines_count_and_explain(jobs, clock, capsys):
    plain = view.View(jobs)
    plain.started(jobs[0])
    clock.now = 60.0
    plain.ended(jobs[0], State("done"))
    plain.ended(jobs[1], failed(jobs[1], "no\nluck"))
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"1/4 done    {jobs[0].title()} [3 min 0 s to go]"
    reason = f"{jobs[1].title()}: no luck (see {jobs[1].folder})"
    assert second == f"2/4 failed  {reason} [2 min 0 s to go]"


def test_on_a_terminal_bars_show_what_runs(jobs, clock):
    from rich.progress import Progress, TextColumn

    output = io.StringIO()
    console = Console(file=output, width=200, force_terminal=True, color_system=None)
    texts = [TextColumn(text) for text in ("{task.description}", "{task.fields[to_go]}")]
    count = TextColumn("{task.completed}/{task.total}")
    with Progress(*texts, count, console=console, auto_refresh=False) as progress:
        live = view.LiveView(jobs, progress)
        live.started(jobs[0])
        record(jobs[0], 4)
        clock.now = 50.0
        live.refresh([jobs[0]])
        rows = [(task.description, task.completed, task.total) for task in progress.tasks]
        assert rows == [("all jobs", 0, 4), (jobs[0].title(), 5, 10)]
        assert progress.tasks[0].fields["to_go"] == "5 min 50 s to go"
        live.ended(jobs[0], failed(jobs[0], "[bold]no luck"))
        live.refresh([])
        assert [task.description for task in progress.tasks] == ["all jobs, 1 failed"]
    assert f"[bold]no luck (see {jobs[0].folder})" in output.getvalue()


@pytest.mark.parametrize("is_terminal", [False, True])
def test_there_are_lines_or_a_live_view(jobs, monkeypatch, is_terminal):
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)
    with view.show_progress(jobs) as display:
        assert type(display) is (view.LiveView if is_terminal else view.View)
        if is_terminal:  # a title may hold brackets, which are no markup
            display._progress.add_task("PACS [frozen x]/Cross [/y]", to_go="")
            console = Console(file=io.StringIO(), width=200)
            console.print(display._progress.get_renderable())
            assert "PACS [frozen x]/Cross [/y]" in console.file.getvalue()
