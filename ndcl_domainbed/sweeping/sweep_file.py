"""Reads the YAML of a sweep's file, with the numbers of YAML 1.2."""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML follows YAML 1.1, where 12:00:00 is the number 43200 and 1e-3 a string."""


_Loader.yaml_implicit_resolvers = {
    first: [
        pair for pair in pairs if pair[0].rpartition(":")[2] not in ("int", "float", "timestamp")
    ]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9]\d*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$"),
    list("-+.0123456789"),
)


def load_yaml(text: str) -> Any:
    """Return the content of a YAML text; raises yaml.YAMLError, ValueError for an endless number.

    >>> load_yaml("slurm_time: 12:00:00\\nhparams: {lr: 1e-3}")
    {'slurm_time': '12:00:00', 'hparams': {'lr': 0.001}}
    """
    return yaml.load(text, _Loader)
