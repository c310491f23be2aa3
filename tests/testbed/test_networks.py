import sys

import pytest
import timm
import torch
from torch import nn

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed import networks

MLP_HPARAMS = {"mlp_width": 16, "mlp_depth": 4, "mlp_dropout": 0.5}


@pytest.mark.parametrize(
    ("shape", "hparams", "kind", "width"),
    [
        ((5,), MLP_HPARAMS, networks.MLP, 16),
        ((2, 28, 28), {}, networks.MNIST_CNN, 128),
        ((3, 28, 28), {"backbone": "small_cnn"}, networks.SmallCNN, 576),
        ((3, 40, 40), {"backbone": "mnist_cnn"}, networks.MNIST_CNN, 128),
        ((3, 32, 32), {}, networks.WideResNet, 128),
        ((3, 224, 224), {"pretrained": False}, networks.ResNet, 2048),
        ((3, 224, 224), {"pretrained": False, "resnet18": True}, networks.ResNet, 512),
        ((3, 28, 28), {"backbone": "resnet18", "pretrained": False}, networks.ResNet, 512),
    ],
)
def test_featurizer_by_shape_and_hparams(shape, hparams, kind, width):
    featurizer = networks.Featurizer(shape, hparams)
    assert type(featurizer) is kind
    assert featurizer.n_outputs == width
    featurizer.eval()
    small = (1, *shape) if len(shape) == 1 else (1, shape[0], *[min(s, 64) for s in shape[1:]])
    assert featurizer(torch.randn(small)).shape == (1, width)


CHOICES = [
    ((3, 224, 224), {}, "resnet50_augmix"),
    ((3, 224, 224), {"resnet50_augmix": False}, "resnet50"),
    ((3, 224, 224), {"resnet50_augmix": True, "resnet18": True}, "resnet18"),
    ((3, 224, 224), {"backbone": "resnet50"}, "resnet50"),
    ((3, 224, 224), {"backbone": "timm:convnext_tiny"}, "timm:convnext_tiny"),
    ((3, 28, 28), {"backbone": "resnet18", "resnet18": True}, "resnet18"),
    ((3, 64, 64), {"backbone": "small_cnn"}, "small_cnn"),
]


@pytest.mark.parametrize(("shape", "hparams", "name"), CHOICES)
def test_choice_of_the_backbone(shape, hparams, name):
    assert networks.choose_backbone(shape, hparams) == name


@pytest.mark.parametrize(
    ("shape", "hparams", "message"),
    [
        ((3, 50, 50), {}, "no default network for inputs of shape"),
        ((3, 28, 28), {"resnet18": True}, "resnet18 would have no effect.*'mnist_cnn'"),
        ((3, 224, 224), {"resnet18": True, "backbone": "resnet50"}, "resnet18 would have no"),
        ((3, 224, 224), {"vit": True}, "no vit.*NDCL_BACKEND=domainbed"),
        ((3, 224, 224), {"dinov2": True}, "no dinov2.*timm:vit_base_patch14_dinov2"),
        ((3, 224, 224), {"lars": True}, "no lars"),
        ((3, 28, 28), {"backbone": "small_cn"}, "did you mean 'small_cnn'"),
        ((3, 28, 28), {"backbone": "timm:no_such_net"}, "timm has no network 'no_such_net'"),
        ((7,), {}, "needs the hyper-parameters mlp_depth, mlp_dropout, mlp_width"),
    ],
)
def test_what_cannot_be_had_is_an_error(shape, hparams, message):
    with pytest.raises(InputError, match=message):
        networks.Featurizer(shape, hparams)


@pytest.mark.parametrize("hparams", [{}, {"backbone": "timm:resnet18"}])
def test_without_timm_the_error_says_what_to_do(hparams, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"needs timm: pip install 'ndcl-domainbed\[timm\]', or"):
        networks.Featurizer((3, 224, 224), hparams)


@pytest.mark.parametrize("error", [OSError("no route\nto host"), RuntimeError("no route")])
def test_weights_that_cannot_be_loaded_are_an_error(error, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("torchvision.models.resnet18", fail)
    with pytest.raises(InputError, match=r"weights of resnet18 .*\(no route\)"):
        networks.Featurizer((3, 224, 224), {"resnet18": True})


def test_pretrained_weights_are_asked_for_by_name(monkeypatch):
    asked = []

    def torchvision_resnet(weights):
        asked.append(weights)
        return nn.Module.__new__(nn.Module)

    monkeypatch.setattr("torchvision.models.resnet50", torchvision_resnet)
    monkeypatch.setattr("timm.create_model", lambda name, **kwargs: asked.append((name, kwargs)))
    for hparams in ({"resnet50_augmix": False}, {}):
        with pytest.raises(AttributeError):  # the stand-ins have no last layer
            networks.Featurizer((3, 224, 224), hparams)
    assert asked == ["IMAGENET1K_V1", ("resnet50.ram_in1k", {"pretrained": True})]


def test_timms_resnet50_has_torchvisions_names():
    ours = networks.ResNet((3, 224, 224), {"pretrained": False}).network.state_dict()
    theirs = timm.create_model("resnet50.ram_in1k", pretrained=False).state_dict()
    assert set(theirs) - set(ours) == {"fc.weight", "fc.bias"}


def test_timm_backbone():
    hparams = {"pretrained": False, "resnet_dropout": 0.5}
    network = networks.TimmBackbone((1, 64, 64), hparams, "resnet10t")
    assert network(torch.randn(2, 1, 64, 64)).shape == (2, network.n_outputs)
    assert network.dropout.p == 0.5
    assert network.training
    with pytest.raises(InputError, match="does not take images of 3×28×28"):
        networks.TimmBackbone((3, 28, 28), {"pretrained": False}, "vit_tiny_patch16_224")


def test_more_channels_repeat_the_filters_in_turn(monkeypatch):
    torch.manual_seed(0)
    rgb = networks.ResNet((3, 64, 64), {"pretrained": False}, "resnet18").network.conv1
    torch.manual_seed(0)
    wide = networks.ResNet((5, 64, 64), {"pretrained": False}, "resnet18").network.conv1
    for channel in range(5):
        assert torch.equal(wide.weight[:, channel], rgb.weight[:, channel % 3])


def test_resnet_state_dict_has_domainbeds_names():
    state = networks.ResNet((3, 64, 64), {"pretrained": False}, "resnet18").state_dict()
    assert {"network.conv1.weight", "network.layer4.1.bn2.running_var"} <= set(state)
    assert not any("fc" in key for key in state)


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet18"])
def test_frozen_batch_norm_keeps_its_statistics_and_learns_its_scale(backbone):
    hparams = {"freeze_bn": True, "pretrained": False, "backbone": backbone}
    shape = (3, 32, 32)
    network = networks.Featurizer(shape, hparams)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for switch in (lambda: None, network.eval, network.train):
        switch()
        assert norms
        assert not any(norm.training for norm in norms)
    assert network.training
    before = norms[-1].running_mean.clone()
    network(torch.randn(4, *shape)).sum().backward()
    assert torch.equal(before, norms[-1].running_mean)
    assert norms[-1].weight.grad is not None


@pytest.mark.parametrize(
    ("size", "hparams"),
    [(28, {"backbone": "small_cnn"}), (32, {"freeze_bn": True})],  # a wide ResNet's never is
)
def test_batch_norm_moves_unless_frozen(size, hparams):
    network = networks.Featurizer((3, size, size), hparams)
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    network(torch.randn(4, 3, size, size))
    assert bool((norm.running_mean != 0).any())


def test_mlp_applies_dropout_before_relu():
    torch.manual_seed(0)
    mlp = networks.MLP(5, 3, MLP_HPARAMS)
    assert [tuple(layer.weight.shape) for layer in (mlp.input, *mlp.hiddens, mlp.output)] == [
        (16, 5),
        (16, 16),
        (16, 16),
        (3, 16),
    ]
    x = torch.randn(7, 5)
    torch.manual_seed(1)
    found = mlp(x)
    torch.manual_seed(1)
    for layer in (mlp.input, *mlp.hiddens):
        x = torch.relu(nn.functional.dropout(layer(x), 0.5))
    torch.testing.assert_close(found, mlp.output(x))


def test_mnist_cnn_layer_by_layer():
    network = networks.MNIST_CNN((2, 28, 28))
    x = torch.randn(3, 2, 28, 28)
    found = network(x)
    for i in range(4):
        x = torch.relu(getattr(network, f"conv{i + 1}")(x))
        groups = 8
        parts = x.unflatten(1, (groups, -1)).flatten(2)
        mean, variance = parts.mean(2, keepdim=True), parts.var(2, keepdim=True, correction=0)
        normalized = ((parts - mean) / (variance + 1e-5).sqrt()).reshape(x.shape)
        norm = getattr(network, f"bn{i}")
        x = normalized * norm.weight[:, None, None] + norm.bias[:, None, None]
    assert x.shape == (3, 128, 14, 14)
    torch.testing.assert_close(found, x.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_wide_resnet_has_its_strides_in_the_second_convolution():
    network = networks.WideResNet((3, 32, 32))
    strides = {
        name: module.stride[0]
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.stride[0] != 1
    }
    assert strides == {
        "layer2.0.conv2": 2,
        "layer2.0.shortcut.0": 2,
        "layer3.0.conv2": 2,
        "layer3.0.shortcut.0": 2,
    }
    assert network.bn1.momentum == 0.9
    assert all(m.bias is not None for m in network.modules() if isinstance(m, nn.Conv2d))


def test_classifiers():
    linear = networks.Classifier(10, 4)
    assert set(linear.state_dict()) == {"weight", "bias"}
    state = networks.Classifier(10, 4, True).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items() if "weight" in key} == {
        "0.weight": (5, 10),
        "2.weight": (2, 5),
        "4.weight": (4, 2),
    }
