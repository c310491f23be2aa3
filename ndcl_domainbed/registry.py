"""All algorithms by name, with their hyper-parameters: the backend's and this project's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imbalance_splits.discovery import cached, defined_twice, place_of
from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.seeds import seed_hash
from ndcl_domainbed import algorithms as additions
from ndcl_domainbed import backend
from ndcl_domainbed.hparams import VECTORS, Hparam, Hparams, Value, collect_hparams, is_frozen
from ndcl_domainbed.testbed.hparams_registry import hparams_of


@cached
def _classes() -> dict[str, type]:
    """The backend's algorithms, and the additions that it lacks.

    A checkout may have an addition of this package as its own; any other name that is defined
    twice is an error.
    """
    own, theirs = additions.classes(), backend.algorithm_classes()
    for name in sorted(own.keys() & theirs.keys()):
        place = place_of(own[name])
        if backend.NAME == "embedded" or not place.startswith(f"{additions.__name__}."):
            raise defined_twice("algorithms", name, place, place_of(theirs[name]))
    return dict(sorted((own | theirs).items()))


def algorithm_names() -> list[str]:
    """Return the names of all algorithms, sorted."""
    return list(_classes())


def get_algorithm_class(name: str) -> Any:
    """Return the class of the algorithm ``name``; InputError if there is none."""
    try:
        return _classes()[name]
    except KeyError:
        raise unknown_name("algorithm", name, algorithm_names()) from None


def _own_hparams(algorithm: str) -> dict[str, Hparam]:
    """What an addition declares beside itself; the backend's registry knows the rest."""
    cls = get_algorithm_class(algorithm)
    return {} if algorithm in backend.algorithm_classes() else collect_hparams(cls, {})


def default_hparams(algorithm: str, dataset: str) -> Hparams:
    """Return the default hyper-parameters of ``algorithm`` on ``dataset``."""
    values = Hparams(backend.shared_hparams(algorithm, dataset, None))
    for name, hparam in _own_hparams(algorithm).items():
        values[name] = hparam.default_for(dataset)
    return values


def random_hparams(algorithm: str, dataset: str, seed: int) -> Hparams:
    """Return the hyper-parameters that ``seed`` draws for ``algorithm`` on ``dataset``."""
    values = Hparams(backend.shared_hparams(algorithm, dataset, seed))
    for name, hparam in _own_hparams(algorithm).items():
        values[name] = hparam.random_for(dataset, name, seed)
    return values


def run_hparams(
    algorithm: str,
    dataset: str,
    hparams_seed: int = 0,
    trial_seed: int = 0,
    overrides: Mapping[str, Value] | None = None,
) -> Hparams:
    """Return the hyper-parameters of one run, as DomainBed's train script makes them.

    ``hparams_seed`` 0 gives the defaults; any other is hashed with ``trial_seed``. ``overrides``
    win. With ``frozen`` among them all values are those for frozen features, whatever the dataset.
    Raises InputError for an override that the algorithm does not have, of another type, or out of
    range, and for frozen features on a DomainBed checkout.
    """
    if is_frozen(overrides or {}):
        if backend.NAME == "domainbed":
            raise InputError(
                "frozen features need this package's own networks, and a DomainBed checkout "
                "(NDCL_BACKEND=domainbed) brings others.\nUnset NDCL_BACKEND, or leave frozen out."
            )
        dataset = VECTORS
    if hparams_seed == 0:
        values = default_hparams(algorithm, dataset)
    else:
        values = random_hparams(algorithm, dataset, seed_hash(hparams_seed, trial_seed))
    declared = hparams_of(get_algorithm_class(algorithm))
    for name, value in (overrides or {}).items():
        if name == "sam_rho" and name not in values:
            raise InputError(_explain_sam(algorithm, dataset))
        if name not in values:
            raise unknown_name(f"hyper-parameter of {algorithm}", name, sorted(values))
        usual = values[name]
        if type(usual) is int and isinstance(random_hparams(algorithm, dataset, 1)[name], float):
            usual = float(usual)  # random search draws fractions too
        values[name] = declared.get(name, Hparam(usual)).check(name, value, usual)
    return values


def _explain_sam(algorithm: str, dataset: str) -> str:
    """Return why ``algorithm`` has no ``sam_rho``, and which have."""
    able = [name for name in algorithm_names() if "sam_rho" in default_hparams(name, dataset)]
    return (
        f"{algorithm} takes no sam_rho: SAM is for NDCL and for updates that make one step on one "
        "loss, without penalties, draws or state.\n"
        f"These take it: {', '.join(able)}."
    )
