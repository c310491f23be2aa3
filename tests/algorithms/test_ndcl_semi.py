"""NDCL_Semi: without unlabeled images it is NDCL; what it makes of them, as plain loops."""

import functools

import pytest
import torch

from tests.testbed.algorithms.building import (
    CLASSES,
    SHAPE,
    assert_same_parameters,
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    minibatches_of,
    random_minibatches,
)


def pool_of(*sizes, seed=9, dtype=torch.float64):
    """Random images of each domain in two views, (n, 2, 3, 8, 8)."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 2, *SHAPE, generator=generator).to(dtype) for n in sizes]


def predict_plainly(algorithm, pool):
    """The pseudo-label and confidence of each image, by the plain view in eval mode."""
    algorithm.eval()
    with torch.no_grad():
        found = [algorithm.predict(x[None, 0]).softmax(1).max(1) for x in torch.cat(pool)]
    algorithm.train()
    return [int(k) for _, k in found], [float(c) for c, _ in found]


def test_without_unlabeled_images_it_is_ndcl_with_the_prior_of_each_domain():
    semi = build("NDCL_Semi")
    ndcl = build("NDCL", class_prior="logit")
    for seed in range(3):
        minibatches = random_minibatches(seed=seed)
        found, expected = semi.update(minibatches), ndcl.update(minibatches)
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
        assert found["loss_pseudo"] == found["confident"] == 0
    assert_same_parameters(semi, ndcl, atol=1e-5)


def test_the_threshold_of_a_class_follows_its_mean_confidence():
    algorithm = build_double("NDCL_Semi", threshold=0.9, lr=0.05)
    means = [1 / CLASSES] * CLASSES
    shares = []
    for step in range(4):
        pool = pool_of(7, 5, 6, seed=step)
        labels, confidences = predict_plainly(algorithm, pool)
        for k in set(labels):
            own = [c for c, label in zip(confidences, labels, strict=True) if label == k]
            means[k] = 0.9 * means[k] + 0.1 * sum(own) / len(own)
        used = [c >= 0.9 * means[k] / max(means) for c, k in zip(confidences, labels, strict=True)]
        shares.append(algorithm.update(random_minibatches(dtype=torch.float64), pool)["confident"])
        assert shares[-1] == pytest.approx(sum(used) / len(used))
    assert any(0 < share < 1 for share in shares)


@pytest.mark.parametrize("threshold", [0.0, 0.27, 1.0])
def test_update_minimizes_the_pseudo_labels_cross_entropy_over_all_unlabeled_images(threshold):
    algorithm = build_double(
        "NDCL_Semi", alpha=0.0, beta=0.0, threshold=threshold, pseudo_weight=2.0,
        counts=[[1, 1, 1, 1]] * 3,
    )  # fmt: skip
    minibatches, pool = minibatches_of([[0], [1], [2]], dtype=torch.float64), pool_of(4, 3, 5)
    labels, confidences = predict_plainly(algorithm, pool)
    means = [1 / CLASSES] * CLASSES
    for k in set(labels):
        own = [c for c, label in zip(confidences, labels, strict=True) if label == k]
        means[k] = 0.9 * means[k] + 0.1 * sum(own) / len(own)

    def objective(twin):
        x, y = torch.cat([x for x, _ in minibatches]), torch.tensor([0, 1, 2])
        augmented = torch.cat(pool)[:, 1]
        logits = twin.network(torch.cat([x, augmented]))
        loss = cross_entropy(logits[:3], y)  # one image of each class: all weights are 1
        for f, k, c in zip(logits[3:], labels, confidences, strict=True):
            if c >= threshold * means[k] / max(means):
                loss = loss + 2.0 * cross_entropy(f[None], [k]) / len(augmented)
        return loss

    algorithm.update = functools.partial(algorithm.update, unlabeled=pool)
    assert_update_follows(algorithm, minibatches, objective, rtol=1e-5, atol=1e-7)


def test_confident_images_join_prototypes_and_contrast_of_their_domain_and_class():
    plain = minibatches_of([[0, 1], [2, 3], [0, 2]], dtype=torch.float64)
    pool = pool_of(6, 5, 7)
    hparams = {"threshold": 0.0, "pseudo_weight": 0.0}
    semi, ndcl = build_double("NDCL_Semi", **hparams), build_double("NDCL", class_prior="logit")
    labels = torch.tensor(predict_plainly(semi, pool)[0]).split([len(x) for x in pool])
    joined = [
        (torch.cat([x, views[:, 1]]), torch.cat([y, k]))
        for (x, y), views, k in zip(plain, pool, labels, strict=True)
    ]
    found, expected = semi.update(plain, pool), ndcl.update(joined)
    assert found["loss_const"] == pytest.approx(expected["loss_const"], rel=1e-5)
    assert found["confident"] == 1
    alone = build_double("NDCL_Semi").update(minibatches_of([[0], [1], [2]], dtype=torch.float64))
    assert alone["loss_con"] == 0  # classes seen once have no positives
    again = build_double("NDCL_Semi", **hparams)
    assert again.update(minibatches_of([[0], [1], [2]], dtype=torch.float64), pool)["loss_con"] > 0
