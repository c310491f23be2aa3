import pytest
import torch

from tests.testbed.algorithms.building import (
    SHAPE,
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    random_minibatches,
)

MINIBATCHES = random_minibatches((6, 4, 5), dtype=torch.float64)


def test_mtl_classifies_with_the_mean_feature_of_the_domain():
    algorithm = build_double("MTL", mtl_ema=0.7)
    previous = torch.randn(3, algorithm.featurizer.n_outputs, dtype=torch.float64)
    algorithm.embeddings.copy_(previous)
    embeddings = []

    def objective(twin):
        total = 0.0
        for d, (x, y) in enumerate(MINIBATCHES):
            z = twin.featurizer(x)
            embedding = 0.7 * sum(z) / len(z) + 0.3 * previous[d]
            embeddings.append(embedding.detach())
            rows = torch.stack([torch.cat([row, embedding]) for row in z])
            total = total + cross_entropy(twin.classifier(rows), y)
        return total

    result, loss = assert_update_follows(algorithm, MINIBATCHES, objective)
    assert result["loss"] == pytest.approx(loss)
    torch.testing.assert_close(algorithm.embeddings, torch.stack(embeddings))


def test_mtl_predicts_with_the_mean_feature_of_the_batch():
    algorithm = build("MTL").eval()
    x = torch.randn(4, *SHAPE)
    z = algorithm.featurizer(x)
    expected = algorithm.classifier(torch.cat([z, z.mean(0).repeat(4, 1)], dim=1))
    torch.testing.assert_close(algorithm.predict(x), expected)
    torch.testing.assert_close(algorithm.predict(x), algorithm.predict(x), rtol=0, atol=0)


def test_mtl_with_domainbeds_hyper_parameters_predicts_at_random():
    algorithm = build("MTL", as_published=False).eval()
    x = torch.randn(4, *SHAPE)
    assert not torch.equal(algorithm.predict(x), algorithm.predict(x))


@pytest.mark.parametrize("as_published", [True, False])
def test_arm_adds_the_mean_context_of_the_domain_as_a_channel(as_published):
    algorithm = build_double("ARM", as_published=as_published)

    def objective(twin):
        x = torch.cat([x for x, _ in MINIBATCHES])
        contexts = twin.context_net(x).split([6, 4, 5])
        means = [(sum(c) / len(c)).expand(len(c), 1, 8, 8) for c in contexts]
        logits = twin.network(torch.cat([x, torch.cat(means)], dim=1))
        return cross_entropy(logits, torch.cat([y for _, y in MINIBATCHES]))

    result, loss = assert_update_follows(algorithm, MINIBATCHES, objective)
    assert result["loss"] == pytest.approx(loss)


@pytest.mark.parametrize("as_published", [True, False])
def test_arm_trains_the_context_network_only_as_published(as_published):
    algorithm = build("ARM", as_published=as_published)
    before = algorithm.context_net.context_net[0].weight.clone()
    algorithm.update(random_minibatches())
    after = algorithm.context_net.context_net[0].weight
    assert torch.equal(before, after) is not as_published


def test_arm_predicts_in_supports_of_the_batch_size():
    algorithm = build("ARM", batch_size=3).eval()
    x = torch.randn(6, *SHAPE)
    apart = torch.cat([algorithm.predict(x[:3]), algorithm.predict(x[3:])])
    torch.testing.assert_close(algorithm.predict(x), apart)
    assert algorithm.predict(x[:5]).shape == (5, 4)  # not a multiple: one support of all
    assert not torch.allclose(algorithm.predict(x[:5])[:3], apart[:3])
