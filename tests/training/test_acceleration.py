"""Precision, layout and compilation change how networks compute, and nothing else."""

import copy
import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.testbed import networks
from ndcl_domainbed.training import acceleration
from ndcl_domainbed.training.acceleration import accelerate, explain_compile_failure
from tests.algorithms.ndcl_cases import ORDINARY, make_algorithm, minibatches_of
from tests.command_line import call
from tests.testbed.algorithms.battery import with_everything_on
from tests.testbed.algorithms.building import SHAPE, build, hparams_for, random_minibatches
from tests.training.runs import lasting, records
from tests.training.stops import stop_at

CPU = torch.device("cpu")
KINDS = ("NDCL", "DANN", "Fishr", "MLDG", "SagNet")
"""One algorithm of each kind: paired, adversarial, with gradients by sample, with copies of
networks, with several heads."""


def _built(name, rho=0.0, **options):
    hparams = with_everything_on(hparams_for(name, backbone="mnist_cnn"))
    hparams.update({"sam_rho": rho} if rho else {})
    algorithm = build(name, hparams=hparams)
    accelerate(algorithm, CPU, **{"precision": "fp32", "compiled": False, **options})
    return algorithm


def _trained(algorithm):
    torch.manual_seed(0), np.random.seed(0)
    return [algorithm.update(random_minibatches(seed=s)) for s in range(2)]


@pytest.mark.parametrize("name", KINDS)
def test_algorithms_of_every_kind_train_in_bfloat16(name):
    plain, low = _built(name), _built(name, precision="bf16")
    assert list(plain.state_dict()) == list(low.state_dict())
    first, second = _trained(plain)[0], _trained(low)
    for key, value in second[0].items():
        assert value == pytest.approx(first[key], rel=0.05, abs=0.02), key
    assert all(math.isfinite(value) for result in second for value in result.values())
    for value in low.state_dict().values():
        assert value.dtype != torch.bfloat16
    low.eval()
    with torch.inference_mode():
        assert low.predict(torch.randn(5, *SHAPE)).dtype == torch.float32


def test_bfloat16_is_what_the_networks_compute_in():
    plain, low = _built("ERM").eval(), _built("ERM", precision="bf16").eval()
    x = torch.randn(8, *SHAPE)
    features = low.featurizer(x)
    assert features.dtype == torch.float32
    assert torch.equal(features, features.to(torch.bfloat16).float())
    assert not torch.equal(features, plain.featurizer(x))
    torch.testing.assert_close(features, plain.featurizer(x), rtol=0.05, atol=0.05)


def test_a_copy_of_a_network_has_its_own_weights():
    algorithm = _built("ERM", precision="bf16").eval()
    other = copy.deepcopy(algorithm.network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    x = torch.randn(2, *SHAPE)
    assert torch.equal(other(x), torch.zeros(2, 4))
    assert not torch.equal(algorithm.network(x), torch.zeros(2, 4))


def test_known_networks_get_their_channels_last():
    seen = []

    def note(_module, inputs):
        seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))

    x = torch.randn(2, 3, 64, 64)
    resnet = networks.ResNet((3, 64, 64), {"pretrained": False}, "resnet18").eval()
    expected = resnet(x)
    resnet.network.layer4[0].conv1.register_forward_pre_hook(note)
    accelerate(nn.Sequential(resnet), CPU, precision="fp32", compiled=False)
    torch.testing.assert_close(resnet(x), expected, rtol=1e-4, atol=1e-5)
    assert seen == [True]


HPARAMS = '{"backbone": "mnist_cnn", "batch_size": 4}'
FLAGS = (
    "train", "--dataset", "Debug28", "--steps", 3, "--checkpoint_freq", 2, "--hparams", HPARAMS,
)  # fmt: skip


def test_a_run_in_bfloat16_is_the_same_each_time_and_says_so(tmp_path):
    for name in ("one", "two"):
        outcome = call(*FLAGS, "--precision", "bf16", "--output_dir", tmp_path / name)
        assert outcome.status == 0, outcome.err
    assert lasting(tmp_path / "one") == lasting(tmp_path / "two")
    assert records(tmp_path / "one")[0]["args"]["precision"] == "bf16"


def test_a_device_without_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(InputError, match="has no bfloat16"):
        accelerate(nn.Identity(), torch.device("cuda"), precision="bf16", compiled=False)


def _compile_with(monkeypatch, backend):
    """Have torch trace networks as for its compiler, and hand what it traced to ``backend``."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))


def test_a_compiled_run_is_the_run_without_and_can_be_stopped(tmp_path, monkeypatch):
    assert call(*FLAGS, "--output_dir", tmp_path / "plain").status == 0
    compiled = []

    def compute_as_it_stands(graph, _inputs):
        compiled.append(sum(node.target is torch.conv2d for node in graph.graph.nodes))
        return graph.forward

    _compile_with(monkeypatch, compute_as_it_stands)
    steps = stop_at(1, patch=monkeypatch.setattr)
    for status in (143, 0):
        outcome = call(*FLAGS, "--compile", "--output_dir", tmp_path / "compiled")
        assert outcome.status == status, outcome.err
    assert steps == [0, 1, 2]
    assert 4 in compiled  # the network's four convolutions, in one graph
    found = [lasting(tmp_path / name) for name in ("plain", "compiled")]
    for run in found:
        for record in run:
            del record["args"]["compile"]
    assert found[0] == found[1]


@pytest.mark.parametrize(("name", "rho"), [("NDCL", 0.1), ("GINIDG", 0.0)])
def test_algorithms_train_compiled_as_they_do_without(name, rho, monkeypatch):
    torch._dynamo.reset()
    expected = _trained(_built(name, rho, precision="bf16"))
    graphs = []
    _compile_with(monkeypatch, lambda graph, _inputs: graphs.append(graph) or graph.forward)
    monkeypatch.setattr(acceleration, "_check_compiler", lambda _device: None)
    found = _trained(_built(name, rho, precision="bf16", compiled=True))
    assert graphs
    for values, others in zip(found, expected, strict=True):
        assert values == pytest.approx(others, rel=1e-3, abs=1e-4)


def test_the_losses_of_ndcl_are_compiled_whole_and_are_the_same(monkeypatch):
    torch._dynamo.reset()
    graphs = []
    _compile_with(monkeypatch, lambda graph, _inputs: graphs.append(graph) or graph.forward)
    algorithm = make_algorithm()
    twin = copy.deepcopy(algorithm)
    twin.compile_losses()
    for seed in range(2):
        minibatches = minibatches_of(*ORDINARY, seed=seed)
        wanted, found = algorithm.update(minibatches), twin.update(minibatches)
        assert found == pytest.approx(wanted, rel=1e-5)
        gradients = [[p.grad for p in one.parameters()] for one in (algorithm, twin)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    assert len(graphs) == 1


def test_a_network_that_cannot_be_compiled(tmp_path, monkeypatch):
    def fail(graph, inputs):
        if len(inputs) > 1:  # the network, and not the trial of the compiler before it
            raise ValueError("no kernel for this\nand a long trace")
        return graph.forward

    _compile_with(monkeypatch, fail)
    outcome = call(*FLAGS, "--compile", "--output_dir", tmp_path)
    assert outcome.status == 1
    said = "backend='fail' raised: ValueError: no kernel for this"
    assert outcome.err.splitlines() == [
        f"error: ERM cannot be compiled: {said}",
        "Start over without --compile.",
    ]
    monkeypatch.undo()
    assert call(*FLAGS, "--output_dir", tmp_path).status == 0


def test_without_a_compiler_the_error_says_so(monkeypatch):
    def fail(function):
        raise RuntimeError("Failed to find C compiler.\nPlease specify one.")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(
        InputError, match=r"--compile cannot be used here: Failed to find C compiler\.$"
    ):
        accelerate(nn.Identity(), CPU, precision="fp32", compiled=True)
    monkeypatch.undo()
    with (
        torch.compiler.set_stance("force_eager"),
        pytest.raises(InputError, match="Identity has none"),
    ):
        accelerate(nn.Identity(), CPU, precision="fp32", compiled=True)


def test_only_failures_of_the_compiler_are_put_down_to_it():
    double = RuntimeError("torch.compile with aot_autograd does not support double backward\nmore")
    with pytest.raises(RunFailure, match=r"IRM cannot be compiled: torch.compile .* backward\n"):
        explain_compile_failure(double, "IRM")
    explain_compile_failure(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "IRM")
