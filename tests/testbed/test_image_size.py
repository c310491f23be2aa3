"""Images of any size, and the normalization that a network was trained with."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as torchvision_transforms

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed import networks
from ndcl_domainbed.testbed.datasets import get_dataset_class
from ndcl_domainbed.testbed.datasets.images import transforms
from tests.image_folders import write_images

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
PLAIN, AUGMENTED = {"data_augmentation": False}, {"data_augmentation": True}


@pytest.mark.parametrize(
    ("hparams", "expected"),
    [
        ({}, IMAGENET),  # those of a DomainBed checkout
        ({"backbone": "auto"}, IMAGENET),
        ({"backbone": "resnet50"}, IMAGENET),
        ({"backbone": "timm:resnet50.ram_in1k"}, IMAGENET),
        ({"backbone": "timm:tf_efficientnet_lite0"}, HALF),
        ({"backbone": "timm:vit_base_patch16_clip_224.openai"}, CLIP),
        ({"backbone": "timm:vit_small_patch14_dinov2.lvd142m"}, IMAGENET),
    ],
)
def test_normalization_is_the_networks(hparams, expected):
    assert networks.normalization_of(hparams) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [("no_such_net", "timm has no network"), ("resnet50.no_tag", "timm has no weights")],
)
def test_an_unknown_network_has_no_normalization(name, message):
    with pytest.raises(InputError, match=f"{message} '{name}'"):
        networks.normalization_of({"backbone": f"timm:{name}"})


def _folder(tmp_path, size):
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 1, size=size)
    white = Image.new("RGB", (size, size), (255, 255, 255))
    for domain in ("one", "two"):
        white.save(root / domain / "x" / "000.png")
    return get_dataset_class(str(root))


@pytest.mark.parametrize("backbone", ["auto", "timm:tf_efficientnet_lite0"])
def test_images_are_normalized_in_training_and_in_evaluation(backbone, tmp_path):
    mean, std = networks.normalization_of({"backbone": backbone})
    white = (1 - torch.tensor(mean)) / torch.tensor(std)
    hparams = {**AUGMENTED, "backbone": backbone}
    for domain in _folder(tmp_path, 60)("", [0], hparams):
        brightest = domain[0][0].amax((1, 2))
        assert (brightest <= white + 1e-5).all()
        if domain.root.name == "one":  # the target: not augmented
            torch.testing.assert_close(domain[0][0], white[:, None, None].expand(3, 224, 224))
        else:  # jitter may darken the white of a training image by 30 %
            assert (brightest > (0.7 * 0.95 - torch.tensor(mean)) / torch.tensor(std)).all()


@pytest.mark.parametrize("name", ["Debug28", "Debug224", "DigitsDG"])
def test_images_in_memory_refuse_another_size(name, digits_root):
    dataset_class = get_dataset_class(name)
    own = dataset_class.IMAGE_SIZE
    dataset = dataset_class(str(digits_root), [0], {**PLAIN, "image_size": own})
    assert dataset[0][0][0].shape == dataset.input_shape == (3, own, own)
    with pytest.raises(InputError, match=rf"{name} have {own}×{own} .*image_size \(64\)"):
        dataset_class(str(digits_root), [0], {**PLAIN, "image_size": 64})


@pytest.mark.parametrize("size", [64, 128, 225])
def test_the_default_network_of_large_images_is_the_same_at_any_size(size):
    for hparams in ({}, {"resnet18": True}, {"resnet50_augmix": False}):
        found = networks.choose_backbone((3, size, size), hparams)
        assert found == networks.choose_backbone((3, 224, 224), hparams)
    with pytest.raises(InputError, match=r"no default network.*63, 63"):
        networks.choose_backbone((3, 63, 63), {})


@pytest.mark.parametrize("size", [24, 96])
def test_crop_flip_is_torchvisions(size):
    mean, std = HALF
    expected = torchvision_transforms.Compose(
        [
            torchvision_transforms.RandomResizedCrop(size, scale=(0.7, 1.0)),
            torchvision_transforms.RandomHorizontalFlip(),
            torchvision_transforms.ToTensor(),
            torchvision_transforms.Normalize(mean, std),
        ]
    )
    pixels = np.random.RandomState(0).randint(0, 256, (40, 50, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    for seed in range(6):
        torch.manual_seed(seed)
        wanted = expected(image)
        torch.manual_seed(seed)
        assert transforms.crop_flip(size, mean, std)(image).equal(wanted)


def test_views_are_plain_and_augmented_as_named():
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 50, 3), dtype=np.uint8))
    hparams = {"backbone": "timm:tf_efficientnet_lite0", "image_size": 64}
    for name, make in (("domainbed", transforms.augmenting), ("crop_flip", transforms.crop_flip)):
        plain, augmented = transforms.view_transforms({**hparams, "view_augmentation": name})
        assert torch.equal(plain(image), transforms.plain(64, *HALF)(image))
        torch.manual_seed(3)
        view = augmented(image)
        torch.manual_seed(3)
        assert torch.equal(view, make(64, *HALF)(image))
    with pytest.raises(InputError, match=r"unknown augmentation 'flip'.*crop_flip"):
        transforms.view_transforms({**hparams, "view_augmentation": "flip"})


RANDOM = {"pretrained": False}


@pytest.mark.parametrize(
    ("name", "sizes", "width"),
    [
        ("vit_tiny_patch16_224", (112,), 192),
        ("vit_small_patch14_dinov2.lvd142m", (112,), 384),
        ("swin_tiny_patch4_window7_224", (128,), 768),
        ("tf_efficientnet_lite0", (70,), 1280),
        ("mvitv2_tiny", (112,), 768),  # timm does not say that its size is fixed
    ],
)
def test_networks_of_timm_take_other_sizes_than_their_own(name, sizes, width):
    for size in sizes:
        network = networks.Featurizer((3, size, size), {"backbone": f"timm:{name}", **RANDOM})
        assert network.n_outputs == width
        assert network.eval()(torch.rand(2, 3, size, size)).shape == (2, width)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("vit_tiny_patch16_224", 100, "patches have 16×16.*\n.* 96 or 112"),
        ("vit_small_patch14_dinov2.lvd142m", 128, "patches have 14×14.*\n.* 126 or 140"),
        ("maxvit_nano_rw_256", 112, "3×112×112.*\n.* 96 or 128"),
    ],
)
def test_a_size_that_does_not_fit_is_an_error_with_sizes_that_do(name, size, message):
    with pytest.raises(InputError, match=message):
        networks.TimmBackbone((3, size, size), RANDOM, name)


def test_the_network_recommended_for_dinov2_works_at_224():
    with pytest.raises(InputError) as caught:
        networks.choose_backbone((3, 224, 224), {"dinov2": True})
    recommended = re.search(r"'(timm:[^']+)'", str(caught.value))[1]
    network = networks.Featurizer((3, 224, 224), {"backbone": recommended, **RANDOM})
    assert network.n_outputs == 768
