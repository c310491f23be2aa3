"""Files that are no saved model, whatever they hold instead."""

from __future__ import annotations

import pytest
import torch

from imbalance_splits.errors import InputError
from ndcl_domainbed.diagnostics.saved_run import load_run


@pytest.mark.parametrize("content", [b"", b"hello", bytes(100), b"PK\x03\x04"])
def test_a_file_of_another_kind_is_named_with_a_reason(tmp_path, content):
    (tmp_path / "model.pkl").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pkl cannot be read as a saved model: \w"):
        load_run(tmp_path)


@pytest.mark.parametrize("content", [[1, 2], {"args": {}, "model_hparams": {}}])
def test_what_is_not_in_it_is_told(tmp_path, content):
    torch.save(content, tmp_path / "model.pkl")
    with pytest.raises(InputError, match=r"is no saved model: it has no .*model_dict"):
        load_run(tmp_path)
