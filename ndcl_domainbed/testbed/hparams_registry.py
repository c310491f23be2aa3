"""The hyper-parameters that all algorithms of the embedded testbed share.

Names, defaults and random ranges are DomainBed's. This testbed adds those of :data:`NETWORK`,
which say what the network is, and those of :data:`ADAPTER`. An algorithm declares its own ones,
and other values for shared ones, in its class attribute ``HPARAMS``.

On frozen features (``frozen``) one rule gives all algorithms their values, chosen before any of
them was run and on no target. An adapter is a small network trained from random weights, so
learning rates are those of DomainBed's small images; the second ones of RDM and EQRM keep their
ratio to the first. The images are those of the large datasets, so batch sizes and weight decays are
theirs, the same for every algorithm. What is counted in updates keeps its share of the run, which
has 301 updates in place of 5,001. All else is as on large images.
"""

from __future__ import annotations

from ndcl_domainbed.hparams import (
    AT_LEAST_ONE,
    NOT_NEGATIVE,
    SHARE,
    SMALL_FOLDER,
    Hparam,
    Range,
    Value,
    by_dataset,
    choice,
    collect_hparams,
    integer,
    power_uniform,
)

NETWORK: dict[str, Hparam] = {
    "backbone": Hparam(
        by_dataset(small="auto", other="auto", DigitsDG="small_cnn", **{SMALL_FOLDER: "small_cnn"})
    ),
    "pretrained": Hparam(True),
    "weights": Hparam(""),
    "image_size": Hparam(by_dataset(small=28, other=224), within=Range(8, 4096)),
    "exif_rotation": Hparam(False),
    "frozen": Hparam(False),
    "views": Hparam(3, within=Range(0, 1000)),
    "view_augmentation": Hparam("domainbed", choices=("domainbed", "crop_flip")),
}
"""Which network sees the images, and how.

``backbone``: see :func:`ndcl_domainbed.testbed.networks.choose_backbone`. ``weights``: a file with
the weights of the backbone; empty means those that ``pretrained`` asks for. ``image_size``: height
and width of the images in pixels, for folders and lists of images. ``exif_rotation``: whether
these are turned as their EXIF data say; DomainBed does not. ``frozen``: the backbone is not
trained; its features are computed once (:mod:`ndcl_domainbed.features`), for the plain view of an
image and for ``views`` augmented ones, made by ``view_augmentation``: 'domainbed' (crop of 70 to
100 % of the area, flip, color jitter, grayscale) or 'crop_flip' (the first two alone).
"""

ADAPTER: dict[str, Hparam] = {
    "adapter_width": Hparam(
        256, by_dataset(small=256, other=256, vectors=choice([128, 256, 512])), within=AT_LEAST_ONE
    ),
    "adapter_depth": Hparam(
        2, by_dataset(small=2, other=2, vectors=choice([1, 2, 3])), within=Range(0, 100)
    ),
    "adapter_dropout": Hparam(
        0.0, by_dataset(small=0.0, other=0.0, vectors=choice([0.0, 0.1, 0.5])), within=SHARE
    ),
}
"""The network that is trained on frozen features: see :class:`~.networks.small.Adapter`."""

SHARED: dict[str, Hparam] = {
    **NETWORK,
    **ADAPTER,
    "data_augmentation": Hparam(True),
    "class_balanced": Hparam(False),
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
        by_dataset(small=1e-3, other=5e-5, vectors=1e-3),
        by_dataset(
            small=power_uniform(10, -4.5, -2.5),
            other=power_uniform(10, -5, -3.5),
            vectors=power_uniform(10, -4.5, -2.5),
        ),
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

READ_BY_THE_LOOP = frozenset(
    {"batch_size", "class_balanced", "data_augmentation"}
    | {"exif_rotation", "image_size", "views", "view_augmentation"}
)
"""Shared hyper-parameters that shape the minibatches; no algorithm reads them."""

KEPT_FOR_DOMAINBED = frozenset({"vit_dropout", "linear_steps"})
"""Without effect on the embedded testbed, which refuses the flags (``vit``, ``lars``) they refine.

They are declared so that records and hyper-parameters agree with DomainBed's.
"""


def hparams_of(algorithm_class: type) -> dict[str, Hparam]:
    """Return all hyper-parameters of an algorithm class: the shared ones and its own."""
    return collect_hparams(algorithm_class, SHARED)


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
