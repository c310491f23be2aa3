from __future__ import annotations

import numpy as np

from ndcl_domainbed.diagnostics import Request, get_diagnostic
from ndcl_domainbed.diagnostics.checks.prototypes import is_unstable
from tests.diagnostics.watched import COUNTS, write_watched


def _diagnose(folder):
    return get_diagnostic("prototypes").diagnose(Request(folder))


def test_a_planted_unstable_prototype_is_flagged(tmp_path):
    def figure_of(name, env, k, step):
        if name == "instability":
            even = 0.1 + 0.01 * ((k + env) % 2)
            return None if step == 0 else 0.5 if (env, k) == (1, 6) else even
        return 0.3

    run = write_watched(tmp_path / "run", figure_of, shots=None)
    found = _diagnose(run)
    table = found.table[found.table["part"] == "training"]
    flagged = table[table["unstable"].astype(bool)]
    assert flagged[["domain", "class", "images"]].to_numpy().tolist() == [["B", "6", 2]]
    assert float(flagged["instability"].iloc[0]) == 0.5


def test_a_planted_dependence_on_the_count_is_found(tmp_path):
    images = {(env, k): n for env, row in enumerate(COUNTS.values()) for k, n in enumerate(row)}

    def figure_of(name, env, k, step):
        if name == "instability":
            return None if step == 0 else (2 - step / 20) / images[env, k] ** 0.5
        return float(images[env, k])

    table = _diagnose(write_watched(tmp_path / "run", figure_of)).table
    found = table[table["part"] == "correlation"].set_index("figure")
    assert found["spearman"].to_dict() == {"instability": -1, "norm": 1, "distance": 1}
    assert found["n"].tolist() == [16] * 3


def test_a_pair_is_unstable_above_twice_the_median():
    values = np.array([1.0, 1.0, 1.0, 2.0, 2.1, np.nan])
    assert is_unstable(values).tolist() == [False, False, False, False, True, False]
    assert is_unstable(np.array([np.nan])).tolist() == [False]


def test_a_run_too_short_for_instability_has_a_picture(tmp_path):
    def figure_of(name, env, k, step):
        return None if name == "instability" else 0.3

    found = _diagnose(write_watched(tmp_path / "run", figure_of))
    assert [path.stat().st_size > 0 for path in found.write(tmp_path, "p", {})] == [True] * 3
