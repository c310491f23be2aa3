"""The seconds and draws behind a figure."""

from tests.command_line import call
from tests.results.builder import record, write_run

SHARES = {"0_in": 0.5, "0_out": 0.5, "1_in": 0.5, "1_out": 0.5}


def _write(root, algorithm, target, draw, step_times, *, done=True):
    made = []
    for step, seconds in step_times.items():
        one = record(step, SHARES, test_envs=[target], algorithm=algorithm, hparams_seed=draw)
        made.append({**one, "step_time": seconds})
    write_run(root / f"{algorithm}{target}{draw}", made, done=done)


def test_seconds_count_every_update_and_every_draw_of_finished_runs(tmp_path):
    for draw in (0, 1):
        # one update of 5 s, then ten of 1 s, then five of 2 s
        _write(tmp_path, "ERM", 0, draw, {0: 5.0, 10: 1.0, 15: 2.0})
    _write(tmp_path, "ERM", 1, 0, {0: 5.0, 10: 3.0})
    _write(tmp_path, "ERM", 1, 1, {0: 100.0}, done=False)
    _write(tmp_path, "IRM", 0, 0, {0: 1.0, 9: 1.0})
    command = ("collect_results", "--input_dir", tmp_path, "--selection", "training")
    shown = call(*command, "--cost").out
    rows = [line.split() for line in shown.splitlines()]
    # ERM: targets of mean 25 s (two draws) and 35 s (one)
    assert ["ERM", "30.0", "1.5", "42.5"] in rows
    assert ["IRM", "10.0", "1", "10.0"] in rows
    assert "Seconds per run" not in call(*command).out
