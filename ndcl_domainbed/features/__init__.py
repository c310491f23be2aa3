"""Frozen features: what a backbone that is not trained makes of every image, computed once.

A run with the hyper-parameter ``frozen`` trains an adapter and the classifier on these vectors.
They depend on the dataset and on the hyper-parameters in ``NETWORK`` of
:mod:`ndcl_domainbed.testbed.hparams_registry`, and on nothing else, so all runs share them. Their
folder is described in :mod:`.store`. Importing this package does not import torch.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = "features"
"""Where features are kept below the data directory, if no other place is named."""


def feature_folder(data_dir: str, feature_cache: str | None) -> Path:
    """Return the folder that holds the features of all datasets: ``--feature_cache``, if given."""
    return Path(feature_cache) if feature_cache else Path(data_dir) / FOLDER
