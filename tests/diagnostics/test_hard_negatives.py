"""Hard negatives of a model whose boundary is known, so that their margins are."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.ndcl import NDCL
from ndcl_domainbed.diagnostics.boundary import feature_distances
from ndcl_domainbed.diagnostics.checks.hard_negatives import draw_samples
from ndcl_domainbed.diagnostics.saved_run import SavedRun
from ndcl_domainbed.diagnostics.statistics import FOLDS

IMAGES = 40
"""Images of each of two domains; image i is the unit vector i, after its class's coordinate."""


class Planted(nn.Module):
    """Classes at -1 and +1 of the first coordinate, and the boundary at 0."""

    def __init__(self):
        nn.Module.__init__(self)
        self.featurizer = nn.Identity()
        self.classifier = nn.Linear(1 + 2 * IMAGES, 2, bias=False)
        with torch.no_grad():
            self.classifier.weight.zero_()
            self.classifier.weight[:, 0] = torch.tensor([-1.0, 1.0])

    def predict(self, x):
        return self.classifier(self.featurizer(x))


class PlantedNDCL(Planted, NDCL):
    """The same, of a run of NDCL, whose hyper-parameters decide how samples are mixed."""


def planted_run(labels, algorithm=Planted, wrong=(), **hparams):
    """Return a run on two domains of images with these labels, some of them classified wrong."""
    identities = torch.eye(2 * IMAGES).split(IMAGES)
    side = 2.0 * labels[:, None] - 1
    side[list(wrong)] *= -1
    domains = [TensorDataset(torch.cat([side, rows], dim=1), labels) for rows in identities]
    train_sets = [Subset(domain, range(IMAGES)) for domain in domains]
    return SavedRun(
        folder=Path("run"),
        arguments=SimpleNamespace(algorithm="Planted"),
        hparams={"batch_size": 16, **hparams},
        dataset=SimpleNamespace(train_sets=train_sets, input_shape=(1 + 2 * IMAGES,)),
        algorithm=algorithm().eval(),
        device=torch.device("cpu"),
    )


@pytest.fixture(scope="module")
def run():
    return planted_run(torch.arange(IMAGES) % 2)


@pytest.fixture(scope="module")
def drawn(run):
    return draw_samples(run, images=2 * IMAGES, seed=0)


def margins(run, samples):
    seen = samples.outputs
    return feature_distances(run.algorithm.classifier, seen.features, seen.logits).numpy()


def parents(samples):
    """Return the images that each sample was mixed from."""
    return [set(np.flatnonzero(row[1:]).tolist()) for row in samples.outputs.features.numpy()]


def test_margin_of_a_hard_negative_is_what_its_weight_leaves(run, drawn):
    """λ of one class and 1 - λ of the other lie at |2λ - 1|."""
    np.testing.assert_allclose(margins(run, drawn["real"]), 1)
    np.testing.assert_allclose(margins(run, drawn["hard"]), 1 - 2 * drawn["hard"].shares, atol=1e-6)
    assert (drawn["hard"].shares > 0.3).any()


def test_a_random_pair_of_one_class_stays_away_from_the_boundary(run, drawn):
    found = margins(run, drawn["random"])
    nearer = np.isclose(found, 1 - 2 * drawn["random"].shares, atol=1e-6)
    far = np.isclose(found, 1, atol=1e-6)
    assert (nearer | far).all()
    assert 0.3 < (far & ~nearer).sum() / (drawn["random"].shares > 1e-4).sum() < 0.7


def test_share_of_a_mixture_of_three_images():
    """Image i is the unit vector i, so a sample's coordinates are the shares of its images."""
    labels, wrong = torch.arange(IMAGES) % 2, range(0, IMAGES, 3)
    run = planted_run(labels, PlantedNDCL, wrong, pairing="released", mixup=5.0, budget_scale=3.0)
    drawn = draw_samples(run, images=2 * IMAGES, seed=0)
    for kind in ("hard", "random"):
        of_images = drawn[kind].outputs.features[:, 1:].sort(dim=1, descending=True).values
        three = (of_images[:, 2] > 0).numpy()
        assert 10 < three.sum() < len(three)
        np.testing.assert_allclose(of_images[three, 0], 1 - drawn[kind].shares[three], atol=1e-6)


def test_as_many_of_each_kind_as_asked_for(drawn):
    assert len(drawn["real"].folds) == 2 * IMAGES
    assert 2 * IMAGES <= len(drawn["hard"].folds) <= 2 * IMAGES + 20 * FOLDS
    assert len(drawn["random"].folds) == len(drawn["hard"].folds)


def test_no_image_is_in_two_folds(drawn):
    fold_of = {
        image: fold
        for (image,), fold in zip(parents(drawn["real"]), drawn["real"].folds, strict=True)
    }
    assert set(fold_of.values()) == set(range(FOLDS))
    for samples in (drawn["hard"], drawn["random"]):
        for images, fold in zip(parents(samples), samples.folds, strict=True):
            assert {fold_of[image] for image in images} == {fold}


def test_the_seed_decides(run, drawn):
    again = draw_samples(run, images=2 * IMAGES, seed=0)
    assert torch.equal(again["hard"].outputs.features, drawn["hard"].outputs.features)
    other = draw_samples(run, images=2 * IMAGES, seed=1)
    assert not torch.equal(other["hard"].outputs.features, drawn["hard"].outputs.features)


def test_a_single_class_cannot_be_mixed():
    run = planted_run(torch.zeros(IMAGES, dtype=torch.long))
    with pytest.raises(InputError, match=r"no minibatch of two classes\. Look at more with --ima"):
        draw_samples(run, images=20, seed=0)
    with pytest.raises(InputError, match=r"no minibatch of two classes\.$"):  # there are no more
        draw_samples(run, images=IMAGES, seed=0)
