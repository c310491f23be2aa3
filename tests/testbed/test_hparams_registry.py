import numpy as np
import pytest

from imbalance_splits.errors import InputError
from imbalance_splits.seeds import seed_hash
from ndcl_domainbed import algorithms as additions
from ndcl_domainbed import backend, registry
from ndcl_domainbed.hparams import SMALL_FOLDER, VECTORS
from ndcl_domainbed.testbed import algorithms as embedded
from ndcl_domainbed.testbed import hparams_registry
from ndcl_domainbed.testbed.hparams_registry import SHARED, hparams_of

CLASSES = {**embedded.classes(), **additions.classes()}


def value(algorithm, dataset, name, seed=None):
    hparam = hparams_of(CLASSES[algorithm])[name]
    if seed is None:
        return hparam.default_for(dataset)
    return hparam.random_for(dataset, name, seed)


def test_published_check_values():
    seed = seed_hash(1, 0)
    assert value("ERM", "PACS", "lr", seed) == 2.7028930742148706e-05
    assert value("ERM", "RotatedMNIST", "lr", seed) == 1.1906162909279594e-04
    assert value("ERM", "PACS", "weight_decay", seed) == 4.4832883881609976e-04
    assert value("ERM", "PACS", "batch_size", seed) == 39
    assert value("ERM", "RotatedMNIST", "batch_size", seed) == 372
    assert value("ERM", "PACS", "resnet_dropout", seed) == 0.5
    assert value("IRM", "PACS", "irm_lambda", seed) == 65030.52212762795
    assert value("IRM", "PACS", "irm_penalty_anneal_iters", seed) == 2


@pytest.mark.parametrize("name", ["ERM", "Fishr", "NoSuchAlgorithm"])
def test_domainbeds_functions_agree_with_the_backends(name):
    default, random = hparams_registry.default_hparams, hparams_registry.random_hparams
    assert default(name, "PACS") == backend.shared_hparams(name, "PACS", None)
    assert random(name, "PACS", 5) == backend.shared_hparams(name, "PACS", 5)


@pytest.mark.parametrize("name", CLASSES)
def test_values_are_plain_repeatable_and_may_be_given(name):
    """A safe loader reads plain values in a model file."""
    for dataset in ("DigitsDG", "PACS", "DomainNet", "TerraIncognita", VECTORS):
        for key, hparam in hparams_of(CLASSES[name]).items():
            usual = hparam.default_for(dataset)
            drawn = [hparam.random_for(dataset, key, seed) for seed in range(4)]
            assert drawn[1] == hparam.random_for(dataset, key, 1), key
            for value in (usual, *drawn):
                assert type(value) in (bool, int, float, str), key
                assert hparam.check(key, value, value) == value
            kinds = {type(found) for found in (usual, *drawn)}
            assert len(kinds) == 1 or (key, kinds) == ("eqrm_burnin_iters", {int, float}), key


@pytest.mark.parametrize(
    ("algorithm", "name", "value", "wanted"),
    [
        ("ERM", "batch_size", -3, "a whole number from 1 to 1000000; got -3"),
        ("ERM", "batch_size", 10**12, "a whole number from 1 to 1000000"),
        ("PGrad", "batch_size", 0, "a whole number from 1"),  # declared again, the range is not
        ("ERM", "lr", -1.0, "a number >= 0"),
        ("ERM", "lr", float("nan"), "a number >= 0; got nan"),
        ("ERM", "lr", 10**400, r"a number >= 0; got 10{17}\.\.\.0{19}\.$"),
        ("ERM", "batch_size", -(10**400), r"a whole number .* got -10{16}\.\.\.0{19}\.$"),
        ("ERM", "resnet_dropout", 2, "a number from 0 to 1"),
        ("EQRM", "eqrm_quantile", 1.0, "a number from 1e-06 to 0.999999"),  # it would be infinite
        ("ERM", "freeze_bn", 1, "true or false"),
        ("ERM", "backbone", 18, "a string such as 'small_cnn'"),
        ("DANN", "beta1", 1.5, "a number >= 0 and < 1"),
        ("Mixup", "mixup_alpha", -1.0, "a number > 0"),
        ("Fishr", "ema", 1.0, "a number >= 0 and < 1"),
        ("BoDA", "nu", -0.5, "a number >= 0"),  # an absent pair would get the gradient NaN
        ("MLDG", "n_meta_test", 1.5, "a whole number >= 1"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(algorithm, name, value, wanted):
    with pytest.raises(InputError, match=f"^hyper-parameter {name} takes {wanted}"):
        registry.run_hparams(algorithm, "DigitsDG", overrides={name: value})


def test_numbers_come_in_the_declared_type():
    given = {"lr": 1, "batch_size": 8.0, "weight_decay": 0}
    values = registry.run_hparams("ERM", "DigitsDG", overrides=given)
    assert [(values[name], type(values[name])) for name in given] == [
        (1.0, float), (8, int), (0.0, float),
    ]  # fmt: skip


def test_fractions_fit_where_random_search_draws_them():
    """The default of ``eqrm_burnin_iters`` is 2500, a draw such as 855.9."""
    values = registry.run_hparams("EQRM", "PACS", overrides={"eqrm_burnin_iters": 855.9})
    assert values["eqrm_burnin_iters"] == 855.9


IN_SHARE_OF_THE_RUN = {
    ("IRM", "irm_penalty_anneal_iters"): 30,
    ("VREx", "vrex_penalty_anneal_iters"): 30,
    ("Fishr", "penalty_anneal_iters"): 90,
    ("RDM", "rdm_penalty_anneal_iters"): 90,
    ("EQRM", "eqrm_burnin_iters"): 150,
    ("GINIDG", "warm_up_steps"): 60,
    ("BoDA", "boda_start_step"): 30,
    ("BoDA", "feat_update_freq"): 7,
    ("TCRI_HSIC", "tcri_beta_anneal_iters"): 30,
    ("LDAM_DRW", "drw_start_step"): 241,
    ("TALLY", "tally_start_step"): 60,
}
"""Of 301 updates on frozen features and DigitsDG, instead of 5,001."""


@pytest.mark.parametrize("name", CLASSES)
def test_on_frozen_features_one_rule_gives_all_algorithms_their_defaults(name):
    vectors = {key: h.default_for(VECTORS) for key, h in hparams_of(CLASSES[name]).items()}
    photos = {key: h.default_for("PACS") for key, h in hparams_of(CLASSES[name]).items()}
    assert (vectors["lr"], vectors["batch_size"], vectors["weight_decay"]) == (1e-3, 32, 0.0)
    changed = {key for key in vectors if vectors[key] != photos[key]}
    numbers_of_updates = {key for algorithm, key in IN_SHARE_OF_THE_RUN if algorithm == name}
    learning_rates = {"lr", "lr_g", "lr_d", "rdm_lr", "eqrm_lr"}
    assert changed - learning_rates - {"batch_size"} == numbers_of_updates
    for key in numbers_of_updates:
        assert vectors[key] == IN_SHARE_OF_THE_RUN[name, key], key


@pytest.mark.parametrize(("name", "key"), IN_SHARE_OF_THE_RUN)
def test_numbers_of_updates_are_a_share_of_the_short_runs_on_digits(name, key):
    assert registry.default_hparams(name, "DigitsDG")[key] == IN_SHARE_OF_THE_RUN[name, key]
    like_digits = registry.default_hparams(name, SMALL_FOLDER)  # but for the number of updates
    assert like_digits["backbone"] == "small_cnn"
    assert like_digits[key] == registry.default_hparams(name, "RotatedMNIST")[key]


@pytest.mark.parametrize("seed", [1, 2])
def test_random_search_draws_updates_in_share_of_the_run(seed):
    for short, long in ((VECTORS, "PACS"), ("DigitsDG", "RotatedMNIST")):
        drawn = value("IRM", long, "irm_penalty_anneal_iters", seed)
        shorter = value("IRM", short, "irm_penalty_anneal_iters", seed)
        assert shorter == max(1, round(drawn * 301 / 5001))


@pytest.mark.parametrize("seed", [1, 2])
def test_random_search_on_frozen_features(seed):
    assert value("ERM", VECTORS, "lr", seed) == value("ERM", "RotatedMNIST", "lr", seed)
    assert value("PGrad", VECTORS, "lr", seed) == value("ERM", VECTORS, "lr", seed)
    for name in ("batch_size", "weight_decay"):
        assert value("ERM", VECTORS, name, seed) == value("ERM", "PACS", name, seed)
    widths = fresh(seed, "adapter_width").choice([128, 256, 512])
    assert value("ERM", VECTORS, "adapter_width", seed) == widths
    assert value("ERM", VECTORS, "adapter_depth", seed) in (1, 2, 3)
    assert value("ERM", VECTORS, "adapter_dropout", seed) in (0.0, 0.1, 0.5)
    assert value("ERM", "PACS", "adapter_width", seed) == 256


def test_frozen_decides_about_the_values_whatever_the_dataset():
    for dataset in ("DigitsDG", "PACS", "DomainNet"):
        values = registry.run_hparams("BoDA", dataset, overrides={"frozen": True})
        assert values["boda_start_step"] == 30
        assert (values["lr"], values["batch_size"], values["backbone"]) == (1e-3, 32, "auto")
        given = {"frozen": True, "boda_start_step": 500}
        assert registry.run_hparams("BoDA", dataset, overrides=given)["boda_start_step"] == 500


OWN = {
    ("Focal", "PACS"): {"gamma": 1.0, "lr": 5e-5, "batch_size": 32},
    ("LDAM", "PACS"): {"max_m": 0.5, "scale": 30.0},
    ("BoDA", "PACS"): {
        "boda_start_step": 500,
        "feat_update_freq": 120,
        "nu": 0.5,
        "boda_weight": 0.1,
        "temperature": 1.0,
        "macro_weight": 1.0,
        "momentum": 0.2,
    },
    ("BoDA", "DomainNet"): {"boda_start_step": 3000, "feat_update_freq": 2000},
    ("PGrad", "PACS"): {"lr": 5e-5, "weight_decay": 0.0, "batch_size": 32},
    ("PGrad", "DigitsDG"): {"lr": 1e-3, "batch_size": 64},
    ("TCRI_HSIC", "PACS"): {
        "tcri_beta": 100.0,
        "tcri_beta_anneal_iters": 500,
        "tcri_alpha": 1.0,
        "batch_size": 8,
    },
    ("TCRI_HSIC", "DigitsDG"): {"batch_size": 64},
    ("ERM", "DigitsDG"): {"backbone": "small_cnn", "lr": 1e-3, "batch_size": 64},
    ("ERM", "PACS"): {"backbone": "auto", "pretrained": True, "resnet50_augmix": True},
    ("RDM", "DomainNet"): {"batch_size": 40, "variance_weight": 0.0, "rdm_lambda": 0.5},
    ("ARM", "PACS"): {"batch_size": 8},
}


@pytest.mark.parametrize(("name", "dataset"), OWN)
def test_defaults(name, dataset):
    for key, expected in OWN[name, dataset].items():
        assert value(name, dataset, key) == expected, key


def fresh(seed, name):
    """Return the generator from which a hyper-parameter is drawn."""
    return np.random.RandomState(seed_hash(seed, name))


@pytest.mark.parametrize("seed", range(3))
def test_random_draws_of_the_additions(seed):
    def u(name, low, high):
        return fresh(seed, name).uniform(low, high)

    assert value("Focal", "PACS", "gamma", seed) == 0.5 * 10 ** u("gamma", 0, 1)
    assert value("LDAM", "PACS", "max_m", seed) == 10 ** u("max_m", -1, -0.1)
    assert value("LDAM", "PACS", "scale", seed) == fresh(seed, "scale").choice([10, 30])
    start = fresh(seed, "boda_start_step")
    assert value("BoDA", "PACS", "boda_start_step", seed) == 100 * start.choice([3, 4, 5, 6])
    start = fresh(seed, "boda_start_step")
    assert value("BoDA", "DomainNet", "boda_start_step", seed) == 1000 * start.choice([2, 3, 4, 5])
    frequency = int(u("feat_update_freq", 100, 150))
    assert value("BoDA", "PACS", "feat_update_freq", seed) == frequency
    frequency = int(10 * u("feat_update_freq", 150, 300))
    assert value("BoDA", "DomainNet", "feat_update_freq", seed) == frequency
    assert value("BoDA", "PACS", "nu", seed) == 10 ** u("nu", -0.5, 0)
    assert value("BoDA", "PACS", "boda_weight", seed) == 10 ** u("boda_weight", -2, -0.5)
    assert value("BoDA", "PACS", "temperature", seed) == 10 ** u("temperature", -1, 0.5)
    assert value("BoDA", "PACS", "macro_weight", seed) == 10 ** u("macro_weight", -1, 1)
    assert value("BoDA", "PACS", "momentum", seed) == u("momentum", 0, 0.4)
    assert value("PGrad", "PACS", "lr", seed) == 5e-5
    assert value("PGrad", "PACS", "weight_decay", seed) == 10 ** u("weight_decay", -6, -4)
    assert value("PGrad", "PACS", "batch_size", seed) == 32
    assert value("TCRI_HSIC", "PACS", "tcri_beta", seed) == 10 ** u("tcri_beta", -1, 5)
    anneal = int(10 ** u("tcri_beta_anneal_iters", 2.5, 5))
    assert value("TCRI_HSIC", "PACS", "tcri_beta_anneal_iters", seed) == anneal
    assert value("TCRI_HSIC", "PACS", "batch_size", seed) == 8


def test_a_class_overrides_its_parents_and_keeps_the_rest():
    declared = hparams_of(CLASSES["ARM"])
    assert declared["batch_size"] is not SHARED["batch_size"]
    assert declared["lr"] is SHARED["lr"]
    assert "lambda" in hparams_of(CLASSES["CDANN"])
    assert set(hparams_of(CLASSES["ERM"])) == {*SHARED, "sam_rho"}
