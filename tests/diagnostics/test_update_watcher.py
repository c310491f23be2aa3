"""What --diagnostics records: known answers, whatever the algorithm."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from imbalance_splits.errors import InputError
from ndcl_domainbed import registry
from ndcl_domainbed.diagnostics.callback import DiagnosticsCallback
from ndcl_domainbed.diagnostics.update_watcher import UpdateWatcher
from tests.losses.plain import members, plain_prototypes, plain_sums

CPU = torch.device("cpu")
check = DiagnosticsCallback().check
CLASSES, WIDTH = 3, 4
CANNOT = {"ARM", "Fish", "MLDG", "MTL", "Mixup", "PGrad", "RSC", "SagNet", "SelfReg", "TCRI_HSIC"}


class Linear(nn.Module):
    """A linear model trained on the mean cross-entropy, with a step of 0.1."""

    def __init__(self):
        super().__init__()
        self.featurizer = nn.Linear(5, WIDTH, bias=False)
        self.classifier = nn.Linear(WIDTH, CLASSES, bias=False)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1)

    def update(self, minibatches):
        x, y = (torch.cat(column) for column in zip(*minibatches, strict=True))
        loss = F.cross_entropy(self.classifier(self.featurizer(x)), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


class ByDomain(Linear):
    """The same model; a pass and a loss for each domain, as CORAL and GroupDRO have it."""

    def update(self, minibatches):
        losses = [F.cross_entropy(self.classifier(self.featurizer(x)), y) for x, y in minibatches]
        self.optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        self.optimizer.step()


def _batches(number, sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        [
            (
                torch.randn(n, 5, generator=generator),
                torch.randint(CLASSES, (n,), generator=generator),
            )
            for n in sizes
        ]
        for _ in range(number)
    ]


def _watched(model, batches, state=None):
    watcher = UpdateWatcher(model, [0, 2], CLASSES, CPU, {} if state is None else state)
    for batch in batches:
        with watcher.watch(batch):
            model.update(batch)
    return watcher


def _rows(record):
    """Return the pairs of a record: (domain, class) -> its figures."""
    pairs = record["pairs"]
    keys = zip(pairs["env"], pairs["class"], strict=True)
    return {
        key: {name: pairs[name][row] for name in pairs if name not in ("env", "class")}
        for row, key in enumerate(keys)
    }


def _plain_figures(model, batches):
    """Return the figures by hand: loops over samples, and the gradient's formula."""
    seen = {}
    for batch in batches:
        prototypes = {}
        for env, (x, y) in zip((0, 2), batch, strict=True):
            for one, k in zip(x, y.tolist(), strict=True):
                with torch.no_grad():
                    p = model.classifier(model.featurizer(one)).softmax(0)
                    slope = p - F.one_hot(torch.tensor(k), CLASSES)  # N times that of the mean
                    back = model.classifier.weight.T @ slope
                figures = seen.setdefault((env, k), {"samples": [], "prototypes": [], "apart": []})
                figures["samples"].append((slope.norm(), back.norm(), p[k]))
                prototypes.setdefault((env, k), []).append(p)
        means = {key: torch.stack(rows).mean(0) for key, rows in prototypes.items()}
        for (env, k), mean in means.items():
            seen[env, k]["prototypes"].append(mean)
            other = means.get((2 - env, k))
            if other is not None:
                seen[env, k]["apart"].append((mean - other).norm())
        model.update(batch)
    return seen


@pytest.mark.parametrize("model", [Linear, ByDomain])
def test_a_linear_model_has_the_gradients_of_the_formula(model):
    torch.manual_seed(3)
    watched = model()
    plain = Linear()
    plain.load_state_dict(watched.state_dict())
    batches = _batches(20, (6, 6))
    record = _watched(watched, batches).record(19)
    assert record["updates"] == 20
    expected = _plain_figures(plain, batches)
    rows = _rows(record)
    assert rows.keys() == expected.keys()
    for pair, figures in expected.items():
        logits, features, confidence = torch.tensor(figures["samples"]).double().mean(0)
        prototypes = torch.stack(figures["prototypes"]).double()
        found = rows[pair]
        assert found["samples"] == len(figures["samples"])
        assert found["batches"] == len(prototypes)
        assert found["grad_logits"] == pytest.approx(float(logits), rel=1e-4)
        assert found["grad_features"] == pytest.approx(float(features), rel=1e-4)
        assert found["confidence"] == pytest.approx(float(confidence), rel=1e-4)
        assert found["norm"] == pytest.approx(float(prototypes.norm(dim=1).mean()), rel=1e-4)
        spread = prototypes.var(dim=0, correction=1).sum().sqrt()
        assert found["instability"] == pytest.approx(float(spread), rel=1e-3)
        apart = torch.stack(figures["apart"]).mean() if figures["apart"] else None
        assert found["distance"] == (None if apart is None else pytest.approx(float(apart), 1e-4))
        assert (found["anchors"], found["amplification"]) == (0, None)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from([(3, 3), (2, 5), (6, 6)]), min_size=2, max_size=40),
    st.integers(0, 10**6),
)
def test_the_sums_over_updates_are_those_of_the_concatenation(sizes, seed):
    batches = [_batches(1, size, seed + i)[0] for i, size in enumerate(sizes)]
    model = Linear()
    for group in model.optimizer.param_groups:
        group["lr"] = 0.0  # so that it is the same model in all updates
    whole = _rows(_watched(model, batches).record(0))
    halves = [batches[: len(batches) // 2], batches[len(batches) // 2 :]]
    parts = [_rows(_watched(model, half).record(0)) for half in halves]
    for pair, found in whole.items():
        mine = [part[pair] for part in parts if pair in part]
        assert found["samples"] == sum(one["samples"] for one in mine)
        for name in ("grad_logits", "grad_features", "confidence"):
            total = sum(one[name] * one["samples"] for one in mine)
            assert found[name] == pytest.approx(total / found["samples"], rel=1e-5)


def _algorithm(name, domains=2, **changes):
    hparams = registry.default_hparams(name, "Debug28")
    hparams |= {"backbone": "small_cnn", **changes}
    hparams.label_counts = torch.randint(1, 9, (domains, 4)).numpy()
    images = torch.utils.data.TensorDataset(torch.randn(4, 3, 28, 28), torch.arange(4))
    hparams.train_sets = [torch.utils.data.Subset(images, range(4))] * domains
    hparams.n_steps = 10
    return registry.get_algorithm_class(name)((3, 28, 28), 4, domains, hparams)


def _images(domains=2):
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(8, 3, 28, 28, generator=generator), torch.tensor([0, 0, 0, 0, 1, 1, 2, 3]))
        for _ in range(domains)
    ]


@pytest.mark.parametrize("contrast", ["negatives", "infonce"])
def test_the_amplification_is_that_of_the_plain_statement(contrast):
    torch.manual_seed(0)
    algorithm, batch = _algorithm("NDCL", contrast=contrast), _images()
    watcher = UpdateWatcher(algorithm, [0, 1], 4, CPU, {})
    with watcher.watch(batch):
        algorithm.update(batch)
    step = algorithm.last_step
    labels, domains = step.labels.tolist(), step.domains.tolist()
    expected = {}
    for i, (k, d) in enumerate(zip(labels, domains, strict=True)):
        sums = plain_sums(step.anchors, step.labels, step.mixed, step.mixed_classes, i, "exp", 1.0)
        negatives = len(members(step.mixed_classes, k))
        if negatives and labels.count(k) > 1:
            factor = float(sums[0] / sums[1])
            crowding = factor * negatives / (labels.count(k) - 1)
            expected.setdefault((d, k), []).append((factor, crowding))
    rows = _rows(watcher.record(0))
    assert sum(row["anchors"] for row in rows.values()) == sum(map(len, expected.values())) > 8
    for pair, values in expected.items():
        factor, crowding = torch.tensor(values).mean(0).tolist()
        assert rows[pair]["anchors"] == len(values)
        assert rows[pair]["amplification"] == pytest.approx(factor, rel=1e-4)
        assert rows[pair]["crowding"] == pytest.approx(crowding, rel=1e-4)
    means = plain_prototypes(step.anchors, step.labels, step.domains)
    for pair, mean in means.items():
        assert rows[pair]["norm"] == pytest.approx(float(mean.norm()), rel=1e-4)
        assert rows[pair]["instability"] is None  # of a single batch


def test_every_algorithm_is_watched_or_refused():
    refused = set()
    for name in registry.algorithm_names():
        torch.manual_seed(0)
        algorithm, batch = _algorithm(name, domains=3), _images(3)
        try:
            watcher = UpdateWatcher(algorithm, [0, 1, 2], 4, CPU, {})
            for _ in range(2):  # those with a discriminator take turns
                with watcher.watch(batch):
                    algorithm.update(batch)
        except InputError as error:
            assert f"cannot watch {name}" in str(error)
            refused.add(name)
            with pytest.raises(InputError) as known:
                check(name)
            assert str(known.value) == str(error)
        else:
            check(name)
            record = watcher.record(1)
            assert record["updates"] >= 1
            assert all(row["grad_features"] > 0 for row in _rows(record).values())
    assert refused == CANNOT


def test_the_trial_leaves_the_generators_and_other_errors_alone(monkeypatch):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check("NDCL", registry.default_hparams("NDCL", "PACS"))
    assert torch.equal(torch.rand(3), expected)
    failing = {"of a checkout": lambda *_: 1 / 0}
    monkeypatch.setattr(registry, "get_algorithm_class", failing.get)
    check("of a checkout", {})


def test_updates_that_see_other_images_are_not_counted():
    class Fickle(Linear):
        def update(self, minibatches):
            self.updates = getattr(self, "updates", 0) + 1
            noisy = [(x + 1.0 * (self.updates > 3), y) for x, y in minibatches]
            super().update(noisy)

    record = _watched(Fickle(), _batches(5, (4, 4))).record(4)
    assert record["updates"] == 3
    assert sum(row["samples"] for row in _rows(record).values()) == 3 * 8


def test_nothing_of_an_update_is_kept_in_memory():
    algorithm, batch = _algorithm("NDCL"), _images()
    watcher = UpdateWatcher(algorithm, [0, 1], 4, CPU, {})
    seen = []
    algorithm.featurizer.register_forward_hook(lambda *call: seen.append(weakref.ref(call[2])))
    gc.collect()
    gc.disable()  # what is freed now is in no ring of references
    try:
        with watcher.watch(batch):
            algorithm.update(batch)
        assert [ref() for ref in seen] == [None, None]
    finally:
        gc.enable()


def test_saved_sums_go_on_bit_by_bit(tmp_path):
    batches = _batches(37, (6, 6))
    torch.manual_seed(1)
    first = Linear()
    start = {name: value.clone() for name, value in first.state_dict().items()}
    alone = _watched(first, batches).record(0)
    second = Linear()
    second.load_state_dict(start)
    state = {}
    _watched(second, batches[:21], state)
    torch.save(state, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert _watched(second, batches[21:], saved).record(0) == alone
