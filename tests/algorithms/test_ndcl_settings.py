"""The hyper-parameters of NDCL: defaults, random ranges, and what is refused."""

import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.ndcl import NDCL
from ndcl_domainbed.hparams import Hparams
from tests.algorithms.ndcl_cases import WIDTH, K, make_algorithm, make_hparams


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("alpha", -0.1, "alpha takes a number >= 0; got -0.1"),
        ("beta", True, "beta takes a number >= 0; got True"),
        ("mixup", "0.2", "mixup takes a number > 0; got '0.2'"),
        ("prototype_momentum", 1.0, "prototype_momentum takes a number >= 0 and < 1"),
        ("contrast", "negative", "did you mean 'negatives'"),
        ("contrast", None, "Choose from: negatives, infonce, supcon, none"),
        ("prior_strength", -1, "takes a number >= 0 or 'auto' or 'pooled'; got -1"),
        ("prior_strength", "most", "takes a number >= 0 or 'auto' or 'pooled'"),
        ("prior_strength", "auto", "set class_prior to 'logit' as well"),
    ],
)
def test_unusable_hyper_parameters_are_refused_at_construction(name, value, message):
    with pytest.raises(InputError, match=message):
        make_algorithm(**{name: value})


def test_a_missing_hyper_parameter_is_named():
    hparams = make_hparams()
    del hparams["tau"], hparams["space"]
    with pytest.raises(InputError, match="space, tau"):
        NDCL((WIDTH,), K, 3, hparams)


@pytest.mark.parametrize("prior", ["inverse", "logit"])
def test_a_class_prior_needs_counts_that_fit(prior):
    hparams = make_hparams(class_prior=prior)
    with pytest.raises(InputError, match=r"\(3, 5\), but there are 2 training domains"):
        NDCL((WIDTH,), K, 2, hparams)
    with pytest.raises(InputError, match=f"class_prior '{prior}' needs the label counts"):
        NDCL((WIDTH,), K, 3, Hparams(hparams))
    assert NDCL((WIDTH,), K, 3, Hparams(hparams, class_prior="none")).settings.alpha == 0.1
