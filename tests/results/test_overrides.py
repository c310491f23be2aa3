"""What a dataset and a row are called when hyper-parameters were overridden."""

import json

import pytest

from imbalance_splits.settings import setting_names
from ndcl_domainbed.results.identity import Identity, identity, name_rows
from ndcl_domainbed.results.labels import base_algorithm, base_dataset, network_in
from ndcl_domainbed.results.names import environment_names
from ndcl_domainbed.results.overrides import NETWORK_HPARAMS
from ndcl_domainbed.testbed.hparams_registry import SHARED


def label(overrides, **args) -> str:
    """Return the name of the dataset."""
    ((name, *_),) = name_rows([run(overrides, **args)])
    return name


def run(overrides, *, dataset="PACS", algorithm="NDCL", **args) -> Identity:
    text = overrides if isinstance(overrides, str | None) else json.dumps(overrides)
    about = {"dataset": dataset, "algorithm": algorithm, "test_envs": [0], "hparams": text}
    return identity({**about, **args})


LITE = {"frozen": True, "backbone": "timm:tf_efficientnet_lite0"}


@pytest.mark.parametrize(
    ("dataset", "overrides", "expected"),
    [
        ("PACS", {**LITE, "image_size": 128}, "PACS [frozen tf_efficientnet_lite0, 128 px]"),
        ("PACS", {"frozen": True}, "PACS [frozen resnet50_augmix]"),
        ("PACS", {"frozen": True, "resnet50_augmix": False}, "PACS [frozen resnet50]"),
        ("PACS", {"frozen": True, "resnet18": True}, "PACS [frozen resnet18]"),
        ("PACS", {"frozen": True, "image_size": 32}, "PACS [frozen wide_resnet, 32 px]"),
        ("PACS", {**LITE, "views": 5}, "PACS [frozen tf_efficientnet_lite0, 5 views]"),
        (
            "PACS",
            {**LITE, "view_augmentation": "crop_flip"},
            "PACS [frozen tf_efficientnet_lite0, crop_flip views]",
        ),
        ("PACS", {"resnet18": True}, "PACS [resnet18]"),
        ("PACS", {"backbone": "resnet18"}, "PACS [resnet18]"),
        ("PACS", {"resnet50_augmix": False}, "PACS [resnet50]"),
        ("PACS", {"backbone": "timm:resnet18"}, "PACS [timm:resnet18]"),  # other weights
        ("PACS", {"weights": "nets/mine.pth"}, "PACS [weights mine]"),
        ("PACS", {"pretrained": False}, "PACS [random weights]"),
        ("Debug28", {"backbone": "small_cnn"}, "Debug28 [small_cnn]"),
        ("DigitsDG", {"backbone": "auto"}, "DigitsDG [mnist_cnn]"),
        # DigitsDG, frozen, has the defaults of frozen features
        ("DigitsDG", {"frozen": True}, "DigitsDG [frozen resnet50_augmix]"),
        ("DigitsDG", {"frozen": True, "backbone": "small_cnn"}, "DigitsDG [frozen small_cnn]"),
    ],
)
def test_a_network_that_was_changed_stands_behind_the_dataset(dataset, overrides, expected):
    assert run(overrides, dataset=dataset).overrides == ()
    assert label(overrides, dataset=dataset) == expected
    assert base_dataset(expected) == dataset


@pytest.mark.parametrize(
    ("dataset", "overrides"),
    [
        ("PACS", None),
        ("PACS", {"resnet18": False, "resnet50_augmix": True, "image_size": 224.0}),
        ("PACS", {"frozen": False, "views": 7, "view_augmentation": "crop_flip"}),
        ("DigitsDG", {"backbone": "small_cnn", "image_size": 28}),
        ("RotatedMNIST", {"resnet50_augmix": False}),  # 28 x 28: no ResNet either way
        ("PACS", "no JSON"),
        ("PACS", "[1]"),
    ],
)
def test_what_changes_nothing_of_the_network_does_not_show(dataset, overrides):
    assert label(overrides, dataset=dataset) == dataset


def test_the_defaults_of_the_network_are_no_change():
    for dataset in ("PACS", "Debug28", "DigitsDG", "my/folder"):
        usual = {name: SHARED[name].default_for(dataset) for name in NETWORK_HPARAMS}
        assert label(usual, dataset=dataset) == dataset


def test_spellings_of_the_same_overrides_are_the_same_run():
    spelled = [
        '{"alpha": 1, "frozen": true, "image_size": 128}',
        '{"image_size": 128.0,"frozen":true, "alpha": 1.0}',
    ]
    assert run(spelled[0]) == run(spelled[1])
    assert run('{"alpha": 1}') != run('{"alpha": true}')
    assert run('{"alpha": 1e-3}') == run('{"alpha": 0.001}')
    assert run('{"alpha": 0.1}') != run('{"alpha": 0.10000001}')


def test_a_setting_in_the_name_of_the_dataset_comes_off_first():
    (found,) = name_rows([run({"resnet18": True}, dataset="PACS_Cross")])
    assert (found.dataset, found.setting) == ("PACS [resnet18]", "Cross")


def rows(*runs: Identity) -> list[tuple[str, str]]:
    return [(row.algorithm, row.fixed) for row in name_rows(runs)]


def test_overrides_that_a_board_shares_are_not_in_its_names():
    four, logit = {"batch_size": 4}, {"batch_size": 4.0, "class_prior": "logit"}
    assert rows(run(four), run(logit), run(four, algorithm="ERM")) == [
        ("NDCL", "batch_size=4"),
        ("NDCL (class_prior=logit)", "batch_size=4"),
        ("ERM", "batch_size=4"),
    ]
    assert rows(run(logit)) == [("NDCL", "batch_size=4, class_prior=logit")]
    assert rows(run(None), run(logit)) == [
        ("NDCL", ""),
        ("NDCL (batch_size=4, class_prior=logit)", ""),
    ]


def test_boards_do_not_name_each_others_rows():
    """One with another setting, network or dataset has rows of its own."""
    logit = {"class_prior": "logit"}
    others = [
        run(logit, imbalance="Cross"),
        run({**logit, "resnet18": True}),
        run(logit, dataset="VLCS"),
    ]
    assert rows(run(None), *others) == [("NDCL", ""), *[("NDCL", "class_prior=logit")] * 3]


@pytest.mark.parametrize(
    ("name", "base"), [("NDCL (a=f(x), b=[1])", "NDCL"), ("NDCL", "NDCL"), ("Mine(x)", "Mine(x)")]
)
def test_the_algorithm_of_a_row(name, base):
    assert base_algorithm(name) == base


@pytest.mark.parametrize("name", ["PACS", "photos [old", "[new]", "photos[old]"])
def test_names_without_a_network(name):
    assert (base_dataset(name), network_in(name)) == (name, "")


def test_training_on_unlabeled_images_is_a_row_of_its_own():
    runs = [run({"alpha": 0.3}, unlabeled_fraction=share) for share in (0, 0.5, 1.0)]
    assert [one.algorithm for one in name_rows(runs)] == [
        "NDCL", "NDCL (unlabeled_fraction=0.5)", "NDCL (unlabeled_fraction=1)"
    ]  # fmt: skip


def test_a_runs_own_names_come_first():
    assert environment_names("PACS", 2, ["x", "y"]) == ["x", "y"]


def test_names_that_do_not_fit_the_number_of_domains_are_not_taken():
    assert environment_names("PACS", 3) == ["env0", "env1", "env2"]
    assert environment_names("PACS", 4, ["x"]) == ["A", "C", "P", "S"]


@pytest.mark.parametrize("setting", setting_names())
def test_every_setting_is_known_in_the_name_of_an_attached_data_set(setting):
    run = identity({"dataset": f"PACS_{setting}", "algorithm": "ERM", "test_envs": [0]})
    assert (run.dataset, run.setting) == ("PACS", setting)


@pytest.mark.parametrize("name", ["PACS_mine", "office_home", "my_Balanced_photos"])
def test_other_names_with_underscores_stay_whole(name):
    run = identity({"dataset": name, "algorithm": "ERM", "test_envs": [0]})
    assert (run.dataset, run.setting) == (name, "none")
