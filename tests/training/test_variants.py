"""Variants of a run's evaluation beside the run's own figures."""

import numpy as np
import pytest
import torch

from imbalance_splits.errors import InputError
from ndcl_domainbed.hparams import Hparams
from ndcl_domainbed.registry import algorithm_names, default_hparams, get_algorithm_class
from ndcl_domainbed.training import variants as module
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.batches import PooledBalancedBatches
from ndcl_domainbed.training.evaluation import evaluation_mode
from ndcl_domainbed.training.second_stage import SecondStage, check_decoupled
from ndcl_domainbed.training.variants import Variants
from tests.command_line import call
from tests.training.runs import lasting

ALL = ("ema", "average:start=0.2", "swad:converge=1", "adjusted", "crt:steps=3")
TRAIN = (
    "train", "--dataset", "Debug28", "--imbalance", "TotalHeavyTail", "--seed", 3,
    "--hparams", '{"backbone": "small_cnn", "batch_size": 6}',
)  # fmt: skip


def _run(output, *flags):
    outcome = call(*TRAIN, "--output_dir", output, *flags)
    assert outcome.status == 0, outcome
    return lasting(output)


def test_variants_stand_beside_figures_that_stay_as_they_are(tmp_path):
    flags = ("--algorithm", "ERM", "--steps", 6, "--checkpoint_freq", 2)
    plain = _run(tmp_path / "plain", *flags)
    varied = _run(tmp_path / "varied", *flags, "--variants", *ALL)
    weights = [
        torch.load(tmp_path / name / "model.pkl", weights_only=True)["model_dict"]
        for name in ("plain", "varied")
    ]
    assert all(torch.equal(one, weights[1][name]) for name, one in weights[0].items())
    for record, other in zip(plain, varied, strict=True):
        figures = other.pop("variants")
        del record["args"], other["args"]
        assert record == other
        own = {k for k in record if k.startswith("env")} | {"class_acc", "val_class_acc"}
        assert all(set(one) == own for one in figures.values())
    assert set(figures) == set(ALL)


class _Data:
    def __init__(self, sets, shape):
        self.train_sets, self.sources, self.input_shape = sets, [0, 1], shape
        self.evaluation_sets = {(0, "out"): sets[0], (1, "out"): sets[1]}


class _Run:
    """What variants need of a run, on random vectors or images of two domains with 3 classes."""

    def __init__(self, algorithm, asked, steps=2, shape=(5,)):
        generator = torch.Generator().manual_seed(0)
        self.batch = [
            (torch.randn(6, *shape, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2]))
            for _ in range(2)
        ]
        data = [torch.utils.data.TensorDataset(*one) for one in self.batch]
        self.dataset = _Data([torch.utils.data.Subset(one, range(6)) for one in data], shape)
        kind = "frozen features" if len(shape) == 1 else "DigitsDG"
        self.hparams = Hparams(
            {**default_hparams(algorithm, kind), "frozen": len(shape) == 1, "backbone": "small_cnn"}
        )
        self.hparams.label_counts = np.array([[6, 1, 1], [2, 0, 0]])
        self.hparams.train_sets, self.hparams.n_steps = self.dataset.train_sets, steps
        torch.manual_seed(0)
        self.algorithm = get_algorithm_class(algorithm)(shape, 3, 2, self.hparams)
        self.arguments = TrainArguments(variants=list(asked))
        self.steps, self.device = steps, torch.device("cpu")


@pytest.mark.parametrize(
    ("algorithm", "shape"),
    [
        *((name, (5,)) for name in algorithm_names()),
        *((name, (3, 8, 8)) for name in ("ERM", "NDCL", "SagNet")),
    ],
)
def test_every_algorithm_has_every_variant_or_says_why_not(algorithm, shape):
    run = _Run(algorithm, ALL[:-1], shape=shape)
    try:
        check_decoupled(run.algorithm, shape)
        run.arguments.variants = list(ALL)
    except InputError as error:
        assert "crt" in str(error)
    variants = Variants(run, {})
    for step in range(run.steps):
        run.algorithm.update(run.batch, [x for x, _ in run.batch])
        variants.after_update(step)
    before = {k: v.clone() for k, v in run.algorithm.state_dict().items()}
    extra = variants.extra()
    with evaluation_mode(run.algorithm):
        found = variants.prepare(
            1, lambda split: [run.batch[split]],
            lambda name: (extra.batches[name][1][i] for i in range(extra.batches[name][0])),
        )  # fmt: skip
        x = run.batch[0][0]
        plain = run.algorithm.predict(x)
        assert set(found) == set(run.arguments.variants)
        for predict in found.values():
            logits = predict(x, plain)
            assert logits.shape == (6, 3)
            assert logits.isfinite().all()
        assert torch.equal(run.algorithm.predict(x), plain)
        shift = (torch.tensor([8.0, 1.0, 1.0]) / 10).log()
        torch.testing.assert_close(found["adjusted"](x, plain), plain - shift)
    after = run.algorithm.state_dict()
    assert all(torch.equal(after[name], one) for name, one in before.items())


def test_statistics_of_averaged_weights_are_those_of_training_batches():
    run = _Run("ERM", ["average:start=0"])
    run.algorithm.network = torch.nn.Sequential(
        torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3)
    )
    run.algorithm.featurizer = run.algorithm.classifier = torch.nn.Identity()
    run.algorithm.optimizer = torch.optim.SGD(run.algorithm.network.parameters(), lr=0.5)
    variants, seen = Variants(run, {}), []
    for step in range(2):
        run.algorithm.update(run.batch)
        seen.append([one.detach().clone() for one in run.algorithm.network.parameters()])
        variants.after_update(step)
    _, batches = variants.extra().batches[module.BATCH_NORM]
    chosen = [batches[i] for i in range(module.BATCH_NORM_STEPS)]
    with evaluation_mode(run.algorithm):
        found = variants.prepare(1, lambda _split: [], lambda _name: chosen)["average:start=0"]
        logits = found(run.batch[0][0], None)
    first, bias, scale, shift, last, end = (
        torch.stack(one).mean(0) for one in zip(*seen, strict=True)
    )
    hidden = [torch.cat([x for x, _ in one]) @ first.T + bias for one in chosen]
    mean = torch.stack([one.mean(0) for one in hidden]).mean(0)
    variance = torch.stack([one.var(0) for one in hidden]).mean(0)
    normed = (run.batch[0][0] @ first.T + bias - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(logits, (normed * scale + shift) @ last.T + end)


def test_second_stage_learns_on_a_frozen_trunk():
    run = _Run("ERM", ["crt"])
    batches = PooledBalancedBatches(run.dataset.train_sets, 6, seed=1)
    before = {k: v.clone() for k, v in run.algorithm.state_dict().items()}
    stage = SecondStage(run.algorithm.eval(), 0, steps=150, lr=0.02).start()
    for step in range(150):
        stage.update(batches[step])
    x, y = (torch.cat(parts) for parts in zip(*run.batch, strict=True))
    assert (stage.predict(x, None).argmax(1) == y).float().mean() > 0.9
    assert all(torch.equal(run.algorithm.state_dict()[name], one) for name, one in before.items())


def test_pooled_batches_draw_every_class_alike():
    labels = [[0] * 90 + [1] * 9, [0] * 1 + [2] * 3]
    subsets = [
        torch.utils.data.Subset(
            torch.utils.data.TensorDataset(torch.zeros(len(y), 1), torch.tensor(y)), range(len(y))
        )
        for y in labels
    ]
    batches = PooledBalancedBatches(subsets, 50, seed=0)
    drawn = torch.cat([y for step in range(60) for _, y in batches[step]])
    assert len(drawn) == 60 * 100
    assert torch.bincount(drawn) / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.03)
    assert torch.equal(batches[4][0][1], batches[4][0][1])


def test_swad_without_validation_images_is_an_error(tmp_path):
    outcome = call("train", "--dataset", "Debug28", "--algorithm", "ERM", "--holdout_fraction", 0,
                   "--hparams", '{"backbone": "small_cnn"}', "--variants", "swad",
                   "--output_dir", tmp_path)  # fmt: skip
    assert outcome.status == 2
    assert "--variants swad needs validation images, and the split 'out' of 1 has none" in (
        outcome.err
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["emma"], "ema"),
        (["ema:start=1"], "start"),
        (["swad:converge=0"], "converge"),
        (["swad:tolerance=0.5"], "tolerance"),
        (["adjusted:weight=2"], "tau"),
        (["crt", "crt"], "once"),
    ],
)
def test_unusable_variants_are_named(given, expected):
    with pytest.raises(InputError, match=expected):
        TrainArguments(variants=given).check()
