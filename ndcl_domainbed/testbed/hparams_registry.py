"""The hyper-parameters that all algorithms of the embedded testbed share.

Names, defaults and random ranges are DomainBed's. Two are this testbed's own: ``backbone`` and
``pretrained`` (see :mod:`ndcl_domainbed.testbed.networks`). An algorithm declares its own ones,
and other values for shared ones, in its class attribute ``HPARAMS``.
"""

from __future__ import annotations

from dataclasses import replace

from ndcl_domainbed.hparams import (
    NOT_NEGATIVE,
    SHARE,
    Hparam,
    Range,
    Value,
    by_dataset,
    choice,
    integer,
    power_uniform,
)

SHARED: dict[str, Hparam] = {
    "data_augmentation": Hparam(True),
    "class_balanced": Hparam(False),
    "backbone": Hparam(by_dataset(small="auto", other="auto", DigitsDG="small_cnn")),
    "pretrained": Hparam(True),
    "resnet18": Hparam(False),
    "resnet50_augmix": Hparam(True),
    "resnet_dropout": Hparam(0.0, choice([0.0, 0.1, 0.5]), within=SHARE),
    "freeze_bn": Hparam(False),
    "nonlinear_classifier": Hparam(False, choice([False, False])),
    "dinov2": Hparam(False),
    "vit": Hparam(False),
    "vit_attn_tune": Hparam(False),
    "vit_dropout": Hparam(0.0, choice([0.0, 0.1, 0.5]), within=SHARE),
    "lars": Hparam(False),
    "linear_steps": Hparam(500, within=NOT_NEGATIVE),
    "lr": Hparam(
        by_dataset(small=1e-3, other=5e-5),
        by_dataset(small=power_uniform(10, -4.5, -2.5), other=power_uniform(10, -5, -3.5)),
        within=NOT_NEGATIVE,
    ),
    "weight_decay": Hparam(
        0.0, by_dataset(small=0.0, other=power_uniform(10, -6, -2)), within=NOT_NEGATIVE
    ),
    "batch_size": Hparam(
        by_dataset(small=64, other=32),
        by_dataset(
            small=integer(power_uniform(2, 3, 9)),
            other=integer(power_uniform(2, 3, 5.5)),
            DomainNet=integer(power_uniform(2, 3, 5)),
        ),
        within=Range(1, 10**6),
    ),
}
"""Declared for every algorithm, by name."""

READ_BY_THE_LOOP = frozenset({"batch_size", "class_balanced", "data_augmentation"})
"""Shared hyper-parameters that shape the minibatches; no algorithm reads them."""

KEPT_FOR_DOMAINBED = frozenset({"vit_dropout", "linear_steps"})
"""Without effect on the embedded testbed, which refuses the flags (``vit``, ``lars``) they refine.

They are declared so that records and hyper-parameters agree with DomainBed's.
"""


def hparams_of(algorithm_class: type) -> dict[str, Hparam]:
    """Return all hyper-parameters of an algorithm class.

    They are the shared ones, overridden and extended by the ``HPARAMS`` of the class and of the
    classes that it derives from, the nearest last.
    """
    declared = dict(SHARED)
    for cls in reversed(algorithm_class.__mro__):
        for name, hparam in vars(cls).get("HPARAMS", {}).items():
            if hparam.within is None and name in declared:
                hparam = replace(hparam, within=declared[name].within)
            declared[name] = hparam
    return declared


def default_hparams(algorithm: str, dataset: str) -> dict[str, Value]:
    """Return the default hyper-parameters of ``algorithm`` on ``dataset``, as DomainBed does.

    Of a name that the testbed does not know they are the shared ones.
    """
    declared = _hparams_of_name(algorithm)
    return {name: hparam.default_for(dataset) for name, hparam in declared.items()}


def random_hparams(algorithm: str, dataset: str, seed: int) -> dict[str, Value]:
    """Return the hyper-parameters that ``seed`` draws; of an unknown name the shared ones."""
    declared = _hparams_of_name(algorithm)
    return {name: hparam.random_for(dataset, name, seed) for name, hparam in declared.items()}


def _hparams_of_name(algorithm: str) -> dict[str, Hparam]:
    from ndcl_domainbed.testbed import algorithms  # these import this module

    return hparams_of(algorithms.classes().get(algorithm, object))
