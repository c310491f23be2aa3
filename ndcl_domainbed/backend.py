"""Which DomainBed this process runs on: our embedded testbed, or a real checkout.

The environment variable ``NDCL_BACKEND`` chooses, once for the whole process: ``embedded`` (the
default) or ``domainbed``. The checkout is the one on the module path, or the folder that
``DOMAINBED_HOME`` names. Everything above this module takes ``Algorithm``, ``ERM``, ``networks``,
the algorithms, the datasets and the shared hyper-parameters from here and from nowhere else.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from imbalance_splits.errors import InputError, unknown_name
from ndcl_domainbed.downloading import all_recipes
from ndcl_domainbed.git import NoAnswer, short_commit
from ndcl_domainbed.hparams import SMALL_IMAGES, Value
from ndcl_domainbed.testbed import datasets as embedded_datasets
from ndcl_domainbed.testbed.networks.weights import with_weights

__all__ = [
    "DESCRIPTION",
    "ERM",
    "NAME",
    "Algorithm",
    "algorithm_classes",
    "dataset_names",
    "get_dataset_class",
    "networks",
    "shared_hparams",
]

BACKENDS = ("embedded", "domainbed")
_DISTRIBUTIONS = {"PIL": "pillow", "backpack": "backpack-for-pytorch", "sklearn": "scikit-learn"}
"""Packages that are installed under another name than they are imported."""

_ONLY_IN_DOMAINBED = ("ColoredMNIST", "RotatedMNIST", "SVIRO", "WILDS", "Spawrious")
"""How the names of DomainBed's datasets begin that the embedded testbed does not have."""


def _import_checkout(module: str) -> ModuleType:
    """Import a module of the DomainBed checkout, or say what is missing."""
    home = os.environ.get("DOMAINBED_HOME")
    if home and "domainbed" not in sys.modules:
        if not (Path(home) / "domainbed" / "algorithms.py").is_file():
            raise InputError(
                f"DOMAINBED_HOME={home} holds no DomainBed checkout "
                "(there is no domainbed/algorithms.py in it)."
            )
        sys.path.insert(0, home)
    try:
        return importlib.import_module(module)
    except InputError:
        raise
    except Exception as error:  # what a user's own code raises when it is imported
        raise InputError(_why_not(module, error)) from error


def _why_not(module: str, error: Exception) -> str:
    """Return in plain words why ``module`` of the checkout could not be imported."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        if error.name == "domainbed":
            return (
                "no DomainBed checkout is on the module path: work in the folder that holds "
                "domainbed/, or name that folder in DOMAINBED_HOME."
            )
        if error.name == module:
            return f"the DomainBed checkout has no module {module}: is it complete?"
        package = error.name.partition(".")[0]
        return (
            f"the DomainBed checkout cannot be imported: it needs the package {package!r}. "
            f"Install it: pip install {_DISTRIBUTIONS.get(package, package)}"
        )
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"the DomainBed checkout cannot be imported: {type(error).__name__}: {error} "
        f"({where.filename}, line {where.lineno})"
    )


def _with_weights_errors(featurizer: Callable[..., Any]) -> Callable[..., Any]:
    """Return a checkout's ``Featurizer`` that fails within seconds if it lacks its weights."""

    @functools.wraps(featurizer)
    def wrapper(input_shape: Sequence[int], hparams: Mapping[str, Any]) -> Any:
        names = ["resnet18" if hparams.get("resnet18") else "resnet50"]
        if hparams.get("resnet50_augmix"):
            names.append("resnet50_augmix")  # it loads the others first
        if hparams.get("vit"):
            names = ["dinov2_vitb14"]
        return with_weights(lambda: featurizer(input_shape, hparams), *names)

    return wrapper


NAME = os.environ.get("NDCL_BACKEND") or "embedded"
if NAME not in BACKENDS:
    raise unknown_name("NDCL_BACKEND", NAME, BACKENDS)

if NAME == "domainbed":
    _algorithms = _import_checkout("domainbed.algorithms")
    networks: Any = _import_checkout("domainbed.networks")
    networks.Featurizer = _with_weights_errors(networks.Featurizer)
    _datasets = _import_checkout("domainbed.datasets")
    _hparams_registry = _import_checkout("domainbed.hparams_registry")
    Algorithm: Any = _algorithms.Algorithm
    ERM: Any = _algorithms.ERM
    DESCRIPTION = "domainbed@unknown"
    with contextlib.suppress(NoAnswer):
        DESCRIPTION = f"domainbed@{short_commit(Path(str(_algorithms.__file__)).parent)}"
    # Taken now: `attach` adds to these lists, and replaces these functions, later.
    _their_algorithms = tuple(_algorithms.ALGORITHMS)
    _their_datasets = tuple(_datasets.DATASETS)
    _their_default_hparams = _hparams_registry.default_hparams
    _their_random_hparams = _hparams_registry.random_hparams
else:
    from ndcl_domainbed.testbed import algorithms as _algorithms
    from ndcl_domainbed.testbed import hparams_registry as _hparams_registry
    from ndcl_domainbed.testbed import networks
    from ndcl_domainbed.testbed.algorithms.base import Algorithm
    from ndcl_domainbed.testbed.algorithms.erm import ERM

    DESCRIPTION = "embedded"


def algorithm_classes() -> dict[str, type]:
    """Return the backend's own algorithms by name."""
    if NAME == "domainbed":
        named = {name: getattr(_algorithms, name, None) for name in _their_algorithms}
        return {name: cls for name, cls in named.items() if isinstance(cls, type)}
    return dict(_algorithms.classes())


def shared_hparams(algorithm: str, dataset: str, seed: int | None) -> dict[str, Value]:
    """Return what the backend's registry gives ``algorithm`` on ``dataset``.

    ``seed`` None means the defaults. For a name that the backend does not know these are the
    hyper-parameters that all algorithms share.
    """
    if NAME == "domainbed":
        if dataset in SMALL_IMAGES and dataset not in _their_datasets:
            dataset = "Debug28"  # the checkout takes a name that it does not know for big images
        if seed is None:
            values = _their_default_hparams(algorithm, dataset)
        else:
            values = _their_random_hparams(algorithm, dataset, seed)
        return {name: getattr(value, "item", lambda v=value: v)() for name, value in values.items()}
    if seed is None:
        return _hparams_registry.default_hparams(algorithm, dataset)
    return _hparams_registry.random_hparams(algorithm, dataset, seed)


def dataset_names() -> list[str]:
    """Return the names of the datasets, the checkout's first."""
    own = list(embedded_datasets.classes())
    if NAME == "domainbed":
        return [*_their_datasets, *(name for name in own if name not in _their_datasets)]
    return own


def get_dataset_class(name: str, data_dir: str | None = None) -> Any:
    """Return the dataset class for a name, or for the path of a ``domain/class/image`` folder.

    Raises InputError if there is neither.
    """
    if NAME == "domainbed" and name in _their_datasets:
        return _with_plain_errors(getattr(_datasets, name))
    try:
        return embedded_datasets.get_dataset_class(name, data_dir)
    except InputError as error:
        is_path = Path(name).exists() or Path(data_dir or "", name).exists()
        hint = None if is_path else _hint(name)
        if hint is None:
            raise
        raise InputError(f"unknown dataset {name!r}: {hint}") from error


def _hint(name: str) -> str | None:
    """Return where to find a dataset that is not known by ``name``, if that is clear."""
    from imbalance_splits.settings import setting_names

    dataset, _, setting = name.rpartition("_")
    of_domainbed = name.startswith(_ONLY_IN_DOMAINBED)
    if (of_domainbed or dataset in dataset_names()) and setting in setting_names():
        return (
            f"it is {dataset} under the setting {setting}, which has a flag of its own.\n"
            f"To train: --dataset {dataset} --imbalance {setting} (for a sweep: --datasets)."
        )
    if of_domainbed and NAME == "embedded":
        return (
            "it is one of DomainBed's own and runs with a checkout.\n"
            "Set NDCL_BACKEND=domainbed, and DOMAINBED_HOME to the folder of the checkout."
        )
    return None


@functools.cache
def _with_plain_errors(theirs: type) -> type:
    """Return a checkout's dataset class that says in plain words which file it lacks."""
    return type(theirs.__name__, (_PlainErrors, theirs), {"__doc__": theirs.__doc__})


class _PlainErrors:
    """Comes before a dataset class of the checkout."""

    def __init__(self, root: str | None, test_envs: Sequence[int], hparams: Any) -> None:
        try:
            super().__init__(root, test_envs, hparams)  # type: ignore[call-arg]
        except OSError as error:
            name = type(self).__name__.partition("_")[0]
            what = f"{error.strerror}: {error.filename}" if error.filename else str(error)
            command = f", or run: ndcl-domainbed download --dataset {name} --data_dir {root}"
            raise InputError(
                f"{type(self).__name__} cannot be read ({what}).\nName the directory that holds it "
                f"with --data_dir{command if name in all_recipes() else '.'}"
            ) from error
