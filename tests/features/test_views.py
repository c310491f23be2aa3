"""Augmented views: random, and the same each time."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset

from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.batches import ViewPairs
from ndcl_domainbed.training.preparation import prepare, prepare_features
from tests.features.commands import TINY, by_name, computed, write_photos
from tests.features.training import hparams_text

ROUNDING = 1e-3
"""More than the last bits of a feature, which may depend on the other images of a batch."""


def test_a_view_depends_on_the_name_of_its_image_and_its_number_alone(tmp_path):
    photos = write_photos(tmp_path / "all")
    whole = by_name(computed(tmp_path / "all"))
    fewer = shutil.copytree(photos, tmp_path / "other" / "photos")
    (fewer / "pen" / "cup" / "000.png").unlink()
    shutil.copy(photos / "oil" / "hat" / "000.png", fewer / "ink" / "cup" / "0.png")  # the first
    other = by_name(computed(tmp_path / "other", views=1))
    shared = whole.keys() & other.keys()
    assert len(shared) == 17
    for name in shared:
        np.testing.assert_allclose(whole[name][:2], other[name], rtol=ROUNDING, atol=ROUNDING)


def test_views_differ_between_images_of_the_same_pixels_and_between_numbers(tmp_path):
    photos = write_photos(tmp_path)
    shutil.copy(photos / "ink" / "cup" / "000.png", photos / "ink" / "cup" / "copy.png")
    shutil.copy(photos / "ink" / "cup" / "000.png", photos / "oil" / "cup" / "000.png")
    views = by_name(computed(tmp_path))
    same = [views[0, "cup/000.png"], views[0, "cup/copy.png"], views[1, "cup/000.png"]]
    for one, other in [(same[0], same[1]), (same[0], same[2])]:
        np.testing.assert_allclose(one[0], other[0], rtol=ROUNDING, atol=ROUNDING)
        assert np.abs(one[1] - other[1]).max() > 10 * ROUNDING
        assert np.abs(one[2] - other[2]).max() > 10 * ROUNDING
    for first, second, third in views.values():
        assert np.abs(first - second).max() > 10 * ROUNDING
        assert np.abs(second - third).max() > 10 * ROUNDING


def test_crop_flip_leaves_the_colors_alone(tmp_path):
    """A crop of an image of one color is that image; DomainBed's augmentation changes the color."""
    photos = write_photos(tmp_path)
    for path in photos.glob("*/*/*.png"):
        Image.new("RGB", (40, 40), (180, 90, 30)).save(path)
    cropped = computed(
        tmp_path, "--feature_cache", tmp_path / "a", view_augmentation="crop_flip"
    )["features"]  # fmt: skip
    jittered = computed(tmp_path, "--feature_cache", tmp_path / "b")["features"]
    np.testing.assert_allclose(
        cropped[:, 1:], cropped[:, :1].repeat(2, axis=1), rtol=ROUNDING, atol=ROUNDING
    )
    assert (np.abs(jittered[:, 1:] - jittered[:, :1]).max(axis=2) > 10 * ROUNDING).all()


@pytest.mark.parametrize(("changed", "is_plain"), [
    ({}, False),
    ({"data_augmentation": False}, True),
    ({"views": 0}, True),
])  # fmt: skip
def test_training_draws_among_the_views_unless_told_not_to(tmp_path, changed, is_plain):
    write_photos(tmp_path)
    arguments = TrainArguments(
        data_dir=str(tmp_path), dataset="photos", hparams=hparams_text(**{**TINY, **changed})
    )
    domain = prepare_features(arguments)[1]
    every = [index for index in range(6) for _ in range(10)]
    drawn, labels = domain.take(torch.tensor(every), seed=3)
    plain = np.stack([domain[index][0].numpy() for index in every])
    assert labels.tolist() == [domain.targets[index] for index in every]
    assert (np.abs(drawn.numpy() - plain).max() < 1e-6) == is_plain
    views = domain.views.float().numpy()
    for vector, index in zip(drawn.numpy(), every, strict=True):
        assert (vector == views[index]).all(axis=1).any()


def test_of_a_pair_of_views_one_is_plain_and_the_other_is_not(tmp_path):
    write_photos(tmp_path)
    arguments = TrainArguments(
        data_dir=str(tmp_path), dataset="photos", hparams=hparams_text(**TINY)
    )
    domain = prepare_features(arguments)[1]
    subset = Subset(domain, [4, 1, 2])
    ((pairs, _),) = ViewPairs([subset], [subset], 40, seed=3)[0]
    views = domain.views.float()
    for plain, augmented in pairs:
        (index,) = [i for i in subset.indices if torch.equal(plain, views[i, 0])]
        assert any(torch.equal(augmented, view) for view in views[index, 1:])


def test_images_of_the_target_are_not_augmented(tmp_path):
    """As in DomainBed, whether they are evaluated or, without labels, trained on."""
    write_photos(tmp_path, per_class=8)
    run = prepare(
        TrainArguments(
            data_dir=str(tmp_path), dataset="photos", algorithm="CORAL", test_envs=[2],
            task="domain_adaptation", uda_holdout_fraction=0.5, hparams=hparams_text(),
            output_dir=str(tmp_path / "run"),
        )
    )  # fmt: skip
    for subsets, is_plain in ((run.dataset.unlabeled_sets, True), (run.dataset.train_sets, False)):
        for subset in subsets:
            indices = torch.as_tensor(subset.indices)
            drawn, _ = subset.dataset.take(indices, seed=5)
            plain, _ = subset.dataset.take(indices)
            assert torch.equal(drawn, plain) == is_plain
    assert run.dataset.unlabeled_sets
