"""Variants of a run's evaluation as rows of their own."""

import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.results.details import class_accuracies
from ndcl_domainbed.results.leaderboards import build
from ndcl_domainbed.results.reading import read_sweep
from ndcl_domainbed.results.report.provenance import describe_provenance
from tests.command_line import call
from tests.results.builder import record, write_run


@pytest.fixture
def folder(tmp_path):
    """Two records; the plain figures validate best at step 0, those of SWAD at step 10."""
    made = [
        record(0, {"0_in": 0.3, "0_out": 0.3, "1_out": 0.9}, test_envs=[0]),
        record(10, {"0_in": 0.4, "0_out": 0.4, "1_out": 0.8}, test_envs=[0]),
    ]
    for one, share, validation in zip(made, (0.5, 0.6), (0.7, 0.75), strict=True):
        one["class_acc"] = {"env0_in": [0.1, share]}
        one["variants"] = {
            "swad": {
                "env0_in_acc": share, "env0_out_acc": share, "env1_out_acc": validation,
                "class_acc": {"env0_in": [share, 1.0]},
            }
        }  # fmt: skip
    made[1]["variants"]["crt:steps=9"] = made[1]["variants"]["swad"]
    return write_run(tmp_path / "run", made)


def _rows(folder, variants):
    sweep = read_sweep(folder.parent, variants=variants)
    (built,) = build(sweep, ["training"])
    return {name: cells[0].mean for name, cells in built.tables[0].rows}


def test_each_variant_has_its_own_selection(folder):
    assert _rows(folder, None) == {"ERM": pytest.approx(30)}
    assert _rows(folder, ["swad"]) == {"ERM": pytest.approx(30), "ERM + SWAD": pytest.approx(60)}
    assert list(_rows(folder, [])) == ["ERM", "ERM + SWAD", "ERM + cRT (steps=9)"]
    with pytest.raises(InputError, match="ema"):
        _rows(folder, ["ema"])


def test_accuracies_by_class_are_those_of_the_variant(folder):
    assert class_accuracies(str(folder), 10, [0]) == [0.1, 0.6]
    assert class_accuracies(str(folder), 10, [0], "swad") == [0.6, 1.0]


def test_a_row_can_be_chosen_and_the_report_has_it(folder, tmp_path):
    page = tmp_path / "report.html"
    command = ("collect_results", "--input_dir", folder.parent, "--selection", "training")
    said = call(*command, "--variants", "swad", "--html", page)
    assert said.status == 0, said
    assert "ERM + SWAD" in said.out
    assert "Total records: 2" in said.out
    assert "Runs: 1 done" in said.out
    assert "ERM + SWAD" in page.read_text()
    assert "SWAD" not in call(*command).out


def test_variants_are_no_runs_of_their_own(folder):
    own, both = (
        describe_provenance(read_sweep(folder.parent, variants=variants)) for variants in (None, [])
    )
    assert own.pop("when") <= both.pop("when")
    assert own == both
