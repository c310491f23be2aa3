"""The tables of DomainBed's three criteria, worked out by hand for fourteen runs.

Two domains, two trials, two draws, two steps. ERM has every run. NDCL has one run of the target
env0 and its pair, and none of the target env1.
"""

import pytest

from ndcl_domainbed.scripts import collect_results
from tests.results.builder import record, write_run

# (target, trial, draw): for the steps 0 and 10 the target's accuracy on "in" (what is reported)
# and on "out" (what oracle looks at, at step 10), and the source's on "out" (what training looks
# at). The letters stand at the choices of training, leave-one-out and oracle.
ERM = {
    (0, 0, 0): [(50, 80, 70), (60, 55, 60)],  # step 0: L.  step 10: O, for 55 > 50
    (0, 0, 1): [(20, 10, 30), (40, 50, 70)],  # step 10: T: 70 as draw 0 has, the higher draw wins
    (0, 1, 0): [(30, 99, 50), (70, 60, 80)],  # step 10: T, for 80 is most
    (0, 1, 1): [(10, 99, 20), (80, 60, 40)],  # step 0: L.  step 10: O: 60 as draw 0, higher draw
    (1, 0, 0): [(12, 5, 90), (24, 30, 90)],  # step 0: T: 90 twice, the first step wins.  10: O
    (1, 0, 1): [(36, 99, 10), (48, 20, 20)],  # step 0: L
    (1, 1, 0): [(20, 99, 50), (22, 70, 60)],  # step 10: L, and O, for 70 > 60
    (1, 1, 1): [(44, 99, 80), (46, 60, 70)],  # step 0: T, for 80 is most
}
# (trial, draw) of the runs that leave out both: "in" of env0 and of env1 at the steps 0 and 10.
# Leave-one-out scores the target env0 by what env1 got here, and env1 by what env0 got.
ERM_PAIRS = {
    (0, 0): [(10, 90), (20, 20)],  # env1: 90 is most of trial 0, so env0 takes draw 0, step 0
    (0, 1): [(40, 10), (30, 30)],  # env0: 40 is most of trial 0, so env1 takes draw 1, step 0
    (1, 0): [(5, 15), (45, 25)],  # env0: 45 is most of trial 1, so env1 takes draw 0, step 10
    (1, 1): [(35, 25), (25, 5)],  # env1: 25 here and in draw 0: env0 takes draw 1, step 0
}
NDCL = {(0, 0, 0): [(33, 99, 44), (66, 1, 43)]}  # T at step 0 (44 > 43), L and O at step 10
NDCL_PAIRS = {(0, 0): [(0, 10), (0, 90)]}

# The choices, as accuracies of (trial 0, trial 1), and their mean and error, which is the standard
# deviation over two trials (half their distance) divided by the root of 2:
#
#            training            leave-one-out       oracle
# ERM env0   40, 70: 55, 15/√2   50, 10: 30, 20/√2   60, 80: 70, 10/√2
# ERM env1   12, 44: 28, 16/√2   36, 22: 29,  7/√2   24, 22: 23,  1/√2
# Avg        41.5                29.5                46.5
# NDCL env0  33, one trial       66                  66
#
# and the averages, where a trial's mean over its domains comes first:
#
# ERM        26, 57: 15.5/√2     43, 16: 13.5/√2     42, 51: 4.5/√2
# NDCL       none: its one trial lacks env1. DomainBed would show the figure of env0, which is the
#            average of another set of domains than ERM's.
#
# 15/√2 = 10.61, 16/√2 = 11.31, 15.5/√2 = 10.96; 20/√2 = 14.14, 7/√2 = 4.95 (4.9497), 13.5/√2 = 9.55
# (9.546); 10/√2 = 7.07, 1/√2 = 0.71, 4.5/√2 = 3.18.
EXPECTED = """\
Total records: 28
Runs: 14 done.
Accuracy in percent; +/- is the standard error over trials \
(population standard deviation / square root of their number; a single trial has none); \
(n=2): over fewer trials than other figures of its table.

-------- Dataset: mine, model selection method: training-domain validation set
Algorithm             env0                  env1                  Avg
ERM                   55.0 +/- 10.6         28.0 +/- 11.3         41.5
NDCL                  33.0 (n=1)            X                     X
  X under env1 for NDCL: no run with this test domain alone
  X under Avg for NDCL: no trial has every test domain; the table by domain says what is missing

-------- Averages, model selection method: training-domain validation set
Algorithm                  mine                       Avg
ERM                        41.5 +/- 11.0              41.5
NDCL                       X                          X
  X under mine for NDCL: no trial has every test domain; the table by domain says what is missing
  X under Avg for NDCL: a figure of the row is missing

-------- Dataset: mine, model selection method: leave-one-domain-out cross-validation
Algorithm             env0                  env1                  Avg
ERM                   30.0 +/- 14.1         29.0 +/- 4.9          29.5
NDCL                  66.0 (n=1)            X                     X
  X under env1 for NDCL: no run with this test domain alone
  X under Avg for NDCL: no trial has every test domain; the table by domain says what is missing

-------- Averages, model selection method: leave-one-domain-out cross-validation
Algorithm                  mine                       Avg
ERM                        29.5 +/- 9.5               29.5
NDCL                       X                          X
  X under mine for NDCL: no trial has every test domain; the table by domain says what is missing
  X under Avg for NDCL: a figure of the row is missing

-------- Dataset: mine, model selection method: test-domain validation set (oracle)
Algorithm             env0                  env1                  Avg
ERM                   70.0 +/- 7.1          23.0 +/- 0.7          46.5
NDCL                  66.0 (n=1)            X                     X
  X under env1 for NDCL: no run with this test domain alone
  X under Avg for NDCL: no trial has every test domain; the table by domain says what is missing

-------- Averages, model selection method: test-domain validation set (oracle)
Algorithm                  mine                       Avg
ERM                        46.5 +/- 3.2               46.5
NDCL                       X                          X
  X under mine for NDCL: no trial has every test domain; the table by domain says what is missing
  X under Avg for NDCL: a figure of the row is missing
"""


def write(root, algorithm, singles, pairs):
    """Write the runs of one algorithm. What no criterion may look at is 1, the best there is."""
    for (target, trial, draw), steps in singles.items():
        records = []
        for step, (inside, out, source_out) in zip((0, 10), steps, strict=True):
            source = 1 - target
            shares = {f"{target}_in": inside / 100, f"{target}_out": out / 100}
            shares |= {f"{source}_in": 1, f"{source}_out": source_out / 100}
            about = {"algorithm": algorithm, "trial_seed": trial, "hparams_seed": draw}
            records.append(record(step, shares, test_envs=[target], dataset="mine", **about))
        write_run(root / f"{algorithm}_{target}_{trial}_{draw}", records)
    for (trial, draw), steps in pairs.items():
        records = []
        for step, both in zip((0, 10), steps, strict=True):
            shares = {f"{env}_in": value / 100 for env, value in enumerate(both)}
            shares |= {"0_out": 1, "1_out": 1}
            about = {"algorithm": algorithm, "trial_seed": trial, "hparams_seed": draw}
            records.append(record(step, shares, test_envs=[0, 1], dataset="mine", **about))
        write_run(root / f"{algorithm}_pair_{trial}_{draw}", records)


@pytest.fixture
def root(tmp_path):
    write(tmp_path, "ERM", ERM, ERM_PAIRS)
    write(tmp_path, "NDCL", NDCL, NDCL_PAIRS)
    return tmp_path


def test_the_tables_are_those_worked_out_by_hand(capsys, root):
    names = ["training", "leave_one_out", "oracle"]
    assert collect_results.main(["--input_dir", str(root), "--selection", *names]) == 0
    assert capsys.readouterr().out == EXPECTED
