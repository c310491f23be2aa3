"""Frozen features of DigitsDG, whose images are in no file."""

import numpy as np

from ndcl_domainbed.testbed.datasets.digits_dg import DigitsDG
from tests.command_line import call
from tests.features.commands import arrays, folders
from tests.features.training import hparams_text
from tests.training.runs import records


def _keep_few(monkeypatch, change=0):
    """Keep 20 images of each domain, and add ``change`` to a pixel of one."""
    pixels = DigitsDG.pixels.__func__

    def few(cls, root):
        classes, domains = pixels(cls, root)
        kept = {name: (x[::80][:20].copy(), y[::80][:20]) for name, (x, y) in domains.items()}
        kept["OPT"][0][3, 14, 14] ^= change
        return classes, kept

    monkeypatch.setattr(DigitsDG, "pixels", classmethod(few))


def test_digits_are_seen_through_their_pixels(tmp_path, digits_root, monkeypatch):
    _keep_few(monkeypatch)
    hparams = ("--hparams", hparams_text(image_size=28), "--feature_cache", tmp_path / "cache")
    words = ("train", "--dataset", "DigitsDG", "--data_dir", digits_root, "--steps", 2, *hparams)
    outcome = call(*words, "--output_dir", tmp_path / "run")
    assert outcome.status == 0, outcome.err
    (folder,) = folders(tmp_path / "cache")
    found = arrays(folder)
    labels = [y for _, y in DigitsDG.pixels(str(digits_root))[1].values()]
    assert found["features"].shape == (80, 3, 576)
    assert found["labels"].tolist() == np.concatenate(labels).tolist()
    assert found["domains"].tolist() == [0] * 20 + [1] * 20 + [2] * 20 + [3] * 20
    assert records(tmp_path / "run")[-1]["network"]["frozen"] is True

    monkeypatch.undo()
    _keep_few(monkeypatch, change=255)
    outcome = call("features", "--dataset", "DigitsDG", "--data_dir", digits_root, *hparams)
    assert outcome.status == 0, outcome.err
    assert "are stale: 1 images changed" in outcome.out
    changed = arrays(folder)["features"] != found["features"]
    assert set(np.flatnonzero(changed.any(axis=(1, 2)))) == {43}
