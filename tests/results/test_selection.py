"""Every criterion on sweeps small enough to work out by hand."""

import pytest

from ndcl_domainbed.results import load, read_sweep, select
from ndcl_domainbed.results.leaderboards import build
from ndcl_domainbed.results.selection import best_of_each_draw
from tests.results.builder import record, write_run


def run(root, name, *steps, test_envs=(0,), done=True, **args):
    """Write a run of (in, out) pairs per step and domain: ``{env: (in, out)}``."""
    records = []
    for step, shares in enumerate(steps):
        flat = {}
        for env, pair in shares.items():
            flat |= {f"{env}_in": pair[0], f"{env}_out": pair[1]}
            flat |= {f"{env}_val": pair[2]} if len(pair) > 2 else {}
        records.append(record(step, flat, test_envs=test_envs, **args))
    write_run(root / name, records, done=done)


def chosen(root, criterion, **options):
    rows = select(load(root), criterion, **options)
    return rows[["test_env", "trial_seed", "hparams_seed", "step", "overall"]].values.tolist()


def test_training_takes_the_best_mean_of_the_sources_out_accuracies(tmp_path):
    # step 0: mean out (0.6 + 0.7) / 2 = 0.65; step 1: 0.75; step 2: 0.7
    run(
        tmp_path,
        "a",
        {0: (0.1, 0.9), 1: (0.5, 0.6), 2: (0.6, 0.7)},
        {0: (0.3, 0.4), 1: (0.6, 0.7), 2: (0.7, 0.8)},
        {0: (0.9, 0.9), 1: (0.9, 0.7), 2: (0.9, 0.7)},
    )
    assert chosen(tmp_path, "training") == [[0, 0, 0, 1, 0.3]]


def test_oracle_last_step_is_by_number_not_by_line(tmp_path):
    records = [record(s, {"0_in": a, "0_out": a}, test_envs=[0]) for s, a in ((9, 0.3), (5, 0.8))]
    write_run(tmp_path / "a", records)
    assert chosen(tmp_path, "oracle") == [[0, 0, 0, 9, 0.3]]


def leave_one_out(root, *, skip=(), **args):
    # target 0; left-out accuracies 0.5 on domain 1 and 0.6 on domain 2: score 0.55
    run(root, f"s{args}", {0: (0.1, 0), 1: (0, 0), 2: (0, 0)}, test_envs=[0], **args)
    if 1 not in skip:
        run(root, f"p{args}", {0: (0, 0), 1: (0.5, 0), 2: (0, 0)}, test_envs=[0, 1], **args)
    if 2 not in skip:
        run(root, f"q{args}", {0: (0, 0), 1: (0, 0), 2: (0.6, 0)}, test_envs=[2, 0], **args)


def test_leave_one_out_scores_by_the_domain_left_out(tmp_path):
    leave_one_out(tmp_path)
    rows = select(load(tmp_path), "leave_one_out")
    assert rows["score"].tolist() == [pytest.approx(0.55)]
    assert rows["overall"].tolist() == [0.1]


def test_leave_one_out_needs_every_pair(tmp_path):
    leave_one_out(tmp_path, skip=[2])
    assert chosen(tmp_path, "leave_one_out") == []


def test_leave_one_out_never_mixes_draws_or_trials(tmp_path):
    leave_one_out(tmp_path, skip=[2], hparams_seed=0)
    leave_one_out(tmp_path, skip=[1], hparams_seed=1)
    leave_one_out(tmp_path, skip=[1], trial_seed=1)
    assert chosen(tmp_path, "leave_one_out") == []


def test_leave_one_out_compares_the_same_steps(tmp_path):
    run(tmp_path, "s", *[{0: (x, 0), 1: (0, 0)} for x in (0.1, 0.2, 0.3)], test_envs=[0])
    run(tmp_path, "p", *[{0: (0, 0), 1: (x, 0)} for x in (0.4, 0.9)], test_envs=[0, 1])
    assert chosen(tmp_path, "leave_one_out") == [[0, 0, 0, 1, 0.2]]


def test_balanced_takes_the_best_mean_of_the_sources_validation_sets(tmp_path):
    run(
        tmp_path,
        "a",
        {0: (0.1, 0), 1: (0, 0.9, 0.4), 2: (0, 0.9, 0.6)},
        {0: (0.2, 0), 1: (0, 0.1, 0.7), 2: (0, 0.1, 0.5)},
        imbalance="Cross",
    )
    rows = select(load(tmp_path), "balanced")
    assert rows["score"].tolist() == [pytest.approx(0.6)]
    assert rows["overall"].tolist() == [0.2]
    assert rows["setting"].tolist() == ["Cross"]


def test_balanced_means_that_differ_by_rounding_alone_are_a_tie(tmp_path):
    shares = (0.3, 0.2, 0.1)
    assert sum(shares) < sum(shares[::-1])  # in floating point, the later step would be the better
    run(
        tmp_path,
        "a",
        {0: (0.1, 0), **{1 + i: (0, 0, share) for i, share in enumerate(shares)}},
        {0: (0.2, 0), **{1 + i: (0, 0, share) for i, share in enumerate(shares[::-1])}},
        imbalance="Cross",
    )
    assert chosen(tmp_path, "balanced") == [[0, 0, 0, 0, 0.1]]


def test_a_source_without_accuracy_makes_the_record_unusable(tmp_path):
    run(
        tmp_path,
        "a",
        {0: (0.1, 0.5), 1: (0.5, 0.9), 2: (0.5, None)},
        {0: (0.2, 0.5), 1: (0.5, 0.2), 2: (0.5, 0.2)},
    )
    assert chosen(tmp_path, "training") == [[0, 0, 0, 1, 0.2]]


def test_unfinished_runs_count_only_if_asked(tmp_path):
    run(tmp_path, "a", {0: (0.1, 0.5), 1: (0.5, 0.6)}, hparams_seed=0)
    run(tmp_path, "b", {0: (0.2, 0.5), 1: (0.5, 0.9)}, hparams_seed=1, done=False)
    assert chosen(tmp_path, "training") == [[0, 0, 0, 0, 0.1]]
    assert chosen(tmp_path, "training", partial=True) == [[0, 0, 1, 0, 0.2]]


def test_settings_and_data_sets_are_never_mixed(tmp_path):
    run(tmp_path, "a", {0: (0.1, 0.5), 1: (0.5, 0.6)})
    run(tmp_path, "b", {0: (0.2, 0.5), 1: (0.5, 0.9)}, imbalance="Cross")
    run(tmp_path, "c", {0: (0.3, 0.5), 1: (0.5, 0.9)}, dataset="VLCS")
    rows = select(load(tmp_path), "training")
    keys = set(zip(rows["dataset"], rows["setting"], rows["overall"], strict=True))
    assert keys == {("PACS", "none", 0.1), ("PACS", "Cross", 0.2), ("VLCS", "none", 0.3)}


def validated(root, name, *steps, **args):
    """Write a run of (target accuracy, by class of source 1, of source 2) per step."""
    records = []
    for step, (overall, *rows) in enumerate(steps):
        means = {f"{env}_val": sum(row) / len(row) for env, row in enumerate(rows, 1)}
        made = record(step, {"0_in": overall} | means, test_envs=[0], imbalance="Cross", **args)
        by_class = {f"env{env}_val": row for env, row in enumerate(rows, 1)}
        records.append(made | {"val_class_acc": by_class})
    write_run(root / name, records)


def test_worst_class_takes_the_highest_least_class_over_the_sources_together(tmp_path):
    validated(
        tmp_path,
        "a",
        (0.1, [1.0, 0.2], [1.0, 0.2]),  # worst 0.2, mean 0.6
        (0.2, [0.0, 0.6], [0.6, 0.0]),  # worst 0.3, though each source has a class at 0
        (0.3, [0.4, 0.2], [0.4, 0.2]),  # worst 0.2
    )
    assert chosen(tmp_path, "worst_class") == [[0, 0, 0, 1, 0.2]]
    assert chosen(tmp_path, "balanced") == [[0, 0, 0, 0, 0.1]]


def test_worst_class_breaks_ties_by_the_mean_then_as_the_others(tmp_path):
    validated(tmp_path, "a", (0.1, [0.9, 0.1 + 0.2], [0.9, 0.3]), (0.2, [0.9, 0.3], [0.9, 0.3]))
    validated(tmp_path, "b", (0.3, [0.8, 0.3], [0.8, 0.3]), hparams_seed=1)
    assert chosen(tmp_path, "worst_class") == [[0, 0, 0, 0, 0.1]]
    draws = best_of_each_draw(load(tmp_path), "worst_class")
    assert draws["hparams_seed"].tolist() == [0, 1]
    assert "second" not in draws


def test_records_without_classes_of_validation_are_not_chosen_and_the_reason_is_given(tmp_path):
    run(tmp_path, "a", {0: (0.1, 0.2), 1: (0.5, 0.6, 0.9)}, imbalance="Cross")
    assert chosen(tmp_path, "worst_class") == []
    validated(tmp_path, "b", (0.7, [0.1], [0.1]), hparams_seed=1)
    assert chosen(tmp_path, "worst_class") == [[0, 0, 1, 0, 0.7]]
    (tmp_path / "b" / "done").unlink()
    (built,) = build(read_sweep(tmp_path), ["worst_class"])
    assert "val_class_acc" in built.tables[0].rows[0][1][0].reason
