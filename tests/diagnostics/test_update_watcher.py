"""What --diagnostics records: known answers, whatever the algorithm."""

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from imbalance_splits.errors import InputError
from ndcl_domainbed import registry
from ndcl_domainbed.diagnostics.callback import DiagnosticsCallback
from ndcl_domainbed.diagnostics.update_watcher import UpdateWatcher
from ndcl_domainbed.training.acceleration import accelerate
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

    def loss(self, minibatches):
        x, y = (torch.cat(column) for column in zip(*minibatches, strict=True))
        return F.cross_entropy(self.classifier(self.featurizer(x)), y)

    def update(self, minibatches):
        self.optimizer.zero_grad()
        self.loss(minibatches).backward()
        self.optimizer.step()


class ByDomain(Linear):
    """The same model; a pass and a loss for each domain, as CORAL and GroupDRO have it."""

    def loss(self, minibatches):
        losses = [F.cross_entropy(self.classifier(self.featurizer(x)), y) for x, y in minibatches]
        return torch.stack(losses).mean()


def make_batches(number, size):
    """Return batches of two minibatches each."""
    generator = torch.Generator().manual_seed(0)
    return [
        [
            (torch.randn(size, 5, generator=generator),
             torch.randint(CLASSES, (size,), generator=generator))
            for _ in range(2)
        ]
        for _ in range(number)
    ]  # fmt: skip


def watch(model, batches, state=None, sources=(0, 2), classes=CLASSES):
    watcher = UpdateWatcher(model, sources, classes, CPU, {} if state is None else state)
    for batch in batches:
        with watcher.watch(batch):
            model.update(batch)
    return watcher


def rows_of(record):
    """Return the pairs of a record: (domain, class) -> its figures."""
    pairs = record["pairs"]
    names = [name for name in pairs if name not in ("env", "class")]
    keys = zip(pairs["env"], pairs["class"], strict=True)
    return {key: {name: pairs[name][row] for name in names} for row, key in enumerate(keys)}


def plain_figures(model, batches):
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
            if (2 - env, k) in means:
                seen[env, k]["apart"].append((mean - means[2 - env, k]).norm())
        model.update(batch)
    return seen


@pytest.mark.parametrize("model", [Linear, ByDomain])
def test_a_linear_model_has_the_gradients_of_the_formula(model):
    torch.manual_seed(3)
    watched, plain = model(), Linear()
    plain.load_state_dict(watched.state_dict())
    batches = make_batches(20, 6)
    record = watch(watched, batches).record(19)
    assert record["updates"] == 20
    expected, rows = plain_figures(plain, batches), rows_of(record)
    assert rows.keys() == expected.keys()
    for pair, figures in expected.items():
        logits, features, confidence = torch.tensor(figures["samples"]).double().mean(0).tolist()
        prototypes = torch.stack(figures["prototypes"]).double()
        apart = float(torch.stack(figures["apart"]).mean()) if figures["apart"] else None
        assert rows[pair] == {
            "samples": len(figures["samples"]),
            "batches": len(prototypes),
            "anchors": 0,
            "grad_logits": pytest.approx(logits, rel=1e-4),
            "grad_features": pytest.approx(features, rel=1e-4),
            "confidence": pytest.approx(confidence, rel=1e-4),
            "amplification": None,
            "crowding": None,
            "norm": pytest.approx(float(prototypes.norm(dim=1).mean()), rel=1e-4),
            "distance": apart and pytest.approx(apart, rel=1e-4),
            "instability": pytest.approx(
                float(prototypes.var(dim=0, correction=1).sum().sqrt()), rel=1e-3
            ),
        }


def build(name, domains=2, **changes):
    torch.manual_seed(0)
    hparams = registry.default_hparams(name, "Debug28")
    hparams |= {"backbone": "small_cnn", **changes}
    hparams.label_counts = torch.randint(1, 9, (domains, 4)).numpy()
    images = torch.utils.data.TensorDataset(torch.randn(4, 3, 28, 28), torch.arange(4))
    hparams.train_sets = [torch.utils.data.Subset(images, range(4))] * domains
    hparams.n_steps = 10
    return registry.get_algorithm_class(name)((3, 28, 28), 4, domains, hparams)


def make_images(domains=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2, 3])
    return [(torch.randn(8, 3, 28, 28, generator=generator), labels) for _ in range(domains)]


@pytest.mark.parametrize("name", ["BSoftmax", "NDCL"])
def test_sharpness_aware_steps_are_watched_at_the_weights_themselves(name):
    plain, sharpness_aware = (
        watch(build(name, sam_rho=rho), [make_images()], sources=(0, 1), classes=4).state
        for rho in (0.0, 0.5)
    )
    assert plain.pop("updates") == sharpness_aware.pop("updates") == 1
    assert all(torch.equal(sharpness_aware[key], value) for key, value in plain.items())


@pytest.mark.parametrize("contrast", ["negatives", "infonce"])
def test_the_amplification_is_that_of_the_plain_statement(contrast):
    algorithm = build("NDCL", contrast=contrast)
    batch = make_images()
    watcher = watch(algorithm, [batch], sources=(0, 1), classes=4)
    step = algorithm.last_step
    labels = step.labels.tolist()
    domains = [number for number, (_, y) in enumerate(batch) for _ in y]
    expected = {}
    for i, (k, d) in enumerate(zip(labels, domains, strict=True)):
        sums = plain_sums(step.anchors, step.labels, step.mixed, step.mixed_classes, i, "exp", 1.0)
        negatives = len(members(step.mixed_classes, k))
        if negatives and labels.count(k) > 1:
            factor = float(sums[0] / sums[1])
            crowding = factor * negatives / (labels.count(k) - 1)
            expected.setdefault((d, k), []).append((factor, crowding))
    rows = rows_of(watcher.record(0))
    assert sum(row["anchors"] for row in rows.values()) == sum(map(len, expected.values())) > 8
    for pair, values in expected.items():
        factor, crowding = torch.tensor(values).mean(0).tolist()
        assert rows[pair]["anchors"] == len(values)
        assert rows[pair]["amplification"] == pytest.approx(factor, rel=1e-4)
        assert rows[pair]["crowding"] == pytest.approx(crowding, rel=1e-4)
    for pair, mean in plain_prototypes(step.anchors, step.labels, torch.tensor(domains)).items():
        assert rows[pair]["norm"] == pytest.approx(float(mean.norm()), rel=1e-4)
        assert rows[pair]["instability"] is None  # of a single batch


def test_every_algorithm_is_watched_or_refused():
    refused = set()
    for name in registry.algorithm_names():
        # Those with a discriminator take turns.
        updates = [make_images(3)] * 2
        try:
            record = watch(build(name, domains=3), updates, sources=(0, 1, 2), classes=4).record(1)
        except InputError as error:
            assert f"cannot watch {name}" in str(error)
            refused.add(name)
            with pytest.raises(InputError) as known:
                check(name)
            assert str(known.value) == str(error)
        else:
            check(name)
            assert record["updates"] >= 1
            assert all(row["grad_features"] > 0 for row in rows_of(record).values())
    assert refused == CANNOT


@pytest.mark.parametrize("name", ["ERM", "NDCL", "DANN", "CORAL"])
def test_half_precision_records_what_full_precision_does(name):
    records = []
    for precision in ("fp32", "bf16"):
        algorithm = build(name, domains=3, lr=1e-5)
        accelerate(algorithm, CPU, precision=precision, compiled=False)
        batches = [make_images(3, seed) for seed in range(2)]
        watcher = watch(algorithm, batches, sources=(0, 1, 2), classes=4)
        records.append(watcher.record(1))
    expected, found = records
    assert found["updates"] == expected["updates"]
    for pair, figures in rows_of(expected).items():
        for figure, value in figures.items():
            same = value if value is None else pytest.approx(value, rel=0.05, abs=2e-3)
            assert rows_of(found)[pair][figure] == same, (pair, figure)


def test_the_trial_leaves_the_generators_and_other_errors_alone(monkeypatch):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check("NDCL", registry.default_hparams("NDCL", "PACS"))
    assert torch.equal(torch.rand(3), expected)
    failing = {"of a checkout": lambda *_: 1 / 0}
    monkeypatch.setattr(registry, "get_algorithm_class", failing.get)
    check("of a checkout", {})


@pytest.mark.parametrize("depth", [0, 2])
def test_a_linear_probe_is_refused_before_the_data_are_read(depth):
    overrides = {"frozen": True, "adapter_depth": depth}
    hparams = registry.run_hparams("ERM", "PACS", overrides=overrides)
    with nullcontext() if depth else pytest.raises(InputError, match="cannot watch ERM"):
        check("ERM", hparams)


def test_updates_that_see_other_images_are_not_counted():
    class Fickle(Linear):
        def update(self, minibatches):
            self.updates = getattr(self, "updates", 0) + 1
            super().update([(x + 1.0 * (self.updates > 3), y) for x, y in minibatches])

    record = watch(Fickle(), make_batches(5, 4)).record(4)
    assert record["updates"] == 3
    assert sum(row["samples"] for row in rows_of(record).values()) == 3 * 8


def test_nothing_of_an_update_is_kept_in_memory():
    algorithm, seen = build("NDCL"), []
    algorithm.featurizer.register_forward_hook(lambda *call: seen.append(weakref.ref(call[2])))
    gc.collect()
    gc.disable()  # what is freed now is in no ring of references
    try:
        watcher = watch(algorithm, [make_images()], sources=(0, 1), classes=4)
        assert [ref() for ref in seen] == [None, None]
        assert watcher.state["updates"] == 1
    finally:
        gc.enable()


def test_saved_sums_continue_bit_by_bit(tmp_path):
    batches = make_batches(37, 6)
    first, second = Linear(), Linear()
    second.load_state_dict(first.state_dict())
    alone = watch(first, batches).record(0)
    state = {}
    watch(second, batches[:21], state)
    torch.save(state, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert watch(second, batches[21:], saved).record(0) == alone
