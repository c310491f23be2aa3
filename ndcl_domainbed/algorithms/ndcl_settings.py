"""The hyper-parameters of NDCL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from imbalance_splits.errors import InputError
from ndcl_domainbed import losses
from ndcl_domainbed.hard_negatives import BUDGETS, PAIRINGS
from ndcl_domainbed.hparams import (
    AT_LEAST_ONE,
    BELOW_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    PRIOR_STRENGTH,
    Hparam,
    power_uniform,
    uniform,
)

HPARAMS: dict[str, Hparam] = {
    "alpha": Hparam(0.1, power_uniform(10, -3, 0), within=NOT_NEGATIVE),
    "beta": Hparam(0.1, power_uniform(10, -3, 0), within=NOT_NEGATIVE),
    "mixup": Hparam(0.2, uniform(0.1, 0.3), within=POSITIVE),
    "contrast": Hparam("negatives", choices=("negatives", "infonce", "supcon", "none")),
    "kernel": Hparam("exp", choices=losses.KERNELS),
    "pairing": Hparam("spread", choices=tuple(PAIRINGS)),
    "budget": Hparam("frequency", choices=BUDGETS),
    "budget_scale": Hparam(1.0, within=POSITIVE),
    "mixup_per_pair": Hparam(False),
    "space": Hparam("prediction", choices=("prediction", "feature")),
    "class_prior": Hparam("none", choices=("none", "inverse", "logit")),
    "prior_strength": PRIOR_STRENGTH,
    "tau": Hparam(1.0, within=POSITIVE),
    "tau_align": Hparam(1.0, within=POSITIVE),
    "prototype_momentum": Hparam(0.0, within=BELOW_ONE),
    "prototype_min_count": Hparam(1, within=AT_LEAST_ONE),
    "mixed_pass_updates_bn": Hparam(False),
    "ce_weight": Hparam(1.0, within=NOT_NEGATIVE),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The hyper-parameters of NDCL, checked: see the table in
    :class:`~ndcl_domainbed.algorithms.ndcl.NDCL`."""

    alpha: float
    beta: float
    mixup: float
    contrast: str
    kernel: str
    budget: str
    mixup_per_pair: bool
    space: str
    class_prior: str
    tau: float
    tau_align: float
    prototype_momentum: float
    prototype_min_count: int
    pairing: str = "spread"
    budget_scale: float = 1.0
    prior_strength: float | str = 0.0
    mixed_pass_updates_bn: bool = False
    ce_weight: float = 1.0

    @classmethod
    def from_hparams(cls, hparams: Mapping[str, Any]) -> Settings:
        """Return the settings in ``hparams``; InputError for one that is missing or unusable."""
        required = [field.name for field in fields(cls) if field.default is MISSING]
        missing = ", ".join(name for name in required if name not in hparams)
        if missing:
            raise InputError(
                f"NDCL lacks the hyper-parameters {missing}; "
                "registry.default_hparams('NDCL', dataset) has them."
            )
        return cls(**{f.name: hparams[f.name] for f in fields(cls) if f.name in hparams})

    def __post_init__(self) -> None:
        for name, hparam in HPARAMS.items():
            hparam.check(name, getattr(self, name), hparam.default_for(""))
        if self.prior_strength != 0 and self.class_prior != "logit":
            raise InputError(
                f"prior_strength {self.prior_strength!r} smooths the prior of class_prior 'logit', "
                f"and class_prior is {self.class_prior!r}: set class_prior to 'logit' as well."
            )
