"""Datasets of image files, in folders and in lists."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed.datasets import get_dataset_class
from ndcl_domainbed.testbed.datasets.published import PublishedFolders
from tests.image_folders import write_images

AUGMENTED, PLAIN = {"data_augmentation": True}, {"data_augmentation": False}
PACS = ["art_painting", "cartoon", "photo", "sketch"]
KNOWN = {cls.__name__: cls for cls in PublishedFolders.__subclasses__()}


@pytest.fixture
def pacs(tmp_path):
    """A data directory with a small PACS of larger images."""
    write_images(tmp_path / "PACS", PACS, ["dog", "house"], 2, size=60)
    return tmp_path


def _open(name, root, test_envs=(), hparams=PLAIN):
    return get_dataset_class(str(name), str(root))(str(root), list(test_envs), hparams)


@pytest.mark.parametrize("name", KNOWN)
def test_known_datasets_are_read_from_domainbeds_folders(name, tmp_path):
    folder = {"OfficeHome": "office_home", "DomainNet": "domain_net"}.get(name, name)
    folder = {"TerraIncognita": "terra_incognita"}.get(name, folder)
    domains = list(KNOWN[name].DOMAINS.values())
    write_images(tmp_path / folder, domains, ["b", "a"], 1)
    dataset = _open(name, tmp_path)
    assert len(dataset) == len(dataset.ENVIRONMENTS)
    assert [domain.root.name for domain in dataset] == domains == sorted(domains)
    assert (dataset.num_classes, dataset.classes) == (2, ["a", "b"])
    assert dataset.input_shape == (3, 224, 224)  # whatever the size of the files


def test_a_domain_is_torchvisions_image_folder(tmp_path):
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 3)
    for domain in _open(root, tmp_path):
        theirs = ImageFolder(domain.root)
        for name in ("samples", "targets", "classes"):
            assert getattr(domain, name) == getattr(theirs, name)


def test_plain_images_are_resized_and_normalized_as_domainbed_does(pacs):
    dataset = _open("PACS", pacs, test_envs=[0, 1, 2, 3], hparams=AUGMENTED)
    image, label = dataset[1][3]
    assert label == 1
    with Image.open(pacs / "PACS" / "cartoon" / "house" / "001.png") as file:
        pixels = np.asarray(file.resize((224, 224), Image.Resampling.BILINEAR)) / 255
    expected = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(image.numpy(), expected.transpose(2, 0, 1), atol=1e-6)


def test_only_training_domains_are_augmented_and_by_torchs_generator_alone(pacs):
    dataset = _open("PACS", pacs, test_envs=[2], hparams=AUGMENTED)
    plain = dataset.without_augmentation()
    for env in range(4):
        torch.manual_seed(0)
        first, second = dataset[env][0][0], dataset[env][0][0]
        torch.manual_seed(0)
        np.random.seed(9)
        assert torch.equal(first, dataset[env][0][0])
        assert torch.equal(first, second) == (env == 2)
        assert torch.equal(first, plain[env][0][0]) == (env == 2)
        assert plain[env].samples == dataset[env].samples


def test_domainbeds_datasets_show_hidden_colors_and_others_white(pacs):
    for name in PACS:
        path = pacs / "PACS" / name / "dog" / "000.png"
        Image.new("RGBA", (60, 60), (0, 0, 0, 0)).save(path)
    black = _open("PACS", pacs)[0][0][0]
    white = _open(pacs / "PACS", pacs)[0][0][0]
    assert (black < -1.7).all()
    assert (white > 2.2).all()


def test_exif_rotation_is_a_switch(tmp_path):
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 1, size=40)
    pixels = np.zeros((40, 40), np.uint8)
    pixels[:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    Image.fromarray(pixels).save(root / "one" / "x" / "000.png", exif=exif)
    for switch in (False, True):
        image = _open(root, tmp_path, hparams={**PLAIN, "exif_rotation": switch})[0][0][0][0]
        assert (image[0, 0] > image[0, -1]) == False  # noqa: E712
        assert (image[0, 0] > image[-1, 0]) == (not switch)


def test_images_that_are_all_small_keep_their_size_and_are_not_augmented(tmp_path):
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 1, size=32)
    dataset = _open(root, tmp_path, hparams=AUGMENTED)
    assert dataset.input_shape == (3, 32, 32)
    assert dataset.notes == ["images are used at 32×32: all have this size"]
    with Image.open(root / "one" / "x" / "000.png") as file:
        pixels = np.asarray(file, dtype=np.float64).transpose(2, 0, 1)
    np.testing.assert_allclose(dataset[0][0][0], pixels / 127.5 - 1, atol=1e-6)
    assert torch.equal(dataset[1][0][0], dataset[1][0][0])
    asked = _open(root, tmp_path, hparams={**AUGMENTED, "image_size": 48})
    assert asked.notes == ["images are used at 48×48: image_size says so"]
    assert asked.input_shape == asked[1][0][0].shape == (3, 48, 48)
    torch.manual_seed(0)
    assert not torch.equal(asked[1][0][0], asked[1][0][0])
    larger = root / "two" / "y" / "000.png"
    Image.new("L", (64, 64), 255).save(larger)
    mixed = _open(root, tmp_path)
    assert mixed.input_shape == (3, 224, 224)
    reason = f"not all are 28×28 or 32×32: {larger} is 64×64"
    assert mixed.notes == [f"images are used at 224×224: {reason}"]


def test_a_folder_is_named_by_any_path(tmp_path, monkeypatch):
    write_images(tmp_path / "data" / "shapes", ["ink", "oil"], ["cup", "hat"], 1)
    write_images(tmp_path / "here" / "shapes", ["pen", "wax", "web"], ["cup", "hat"], 1)
    monkeypatch.chdir(tmp_path)
    inside = [str(tmp_path / "data" / "shapes"), "data/shapes", "shapes"]
    for name in inside:
        cls = get_dataset_class(name, "data")
        assert (cls.__name__, cls.ENVIRONMENTS) == (name, ["ink", "oil"])
        assert (cls.N_STEPS, cls.CHECKPOINT_FREQ) == (5001, 100)
        assert cls("data", [0], PLAIN)[1].samples[0][0].endswith("shapes/oil/cup/000.png")
    monkeypatch.chdir(tmp_path / "here")  # the working directory comes before the data directory
    assert get_dataset_class("shapes", "../data").ENVIRONMENTS == ["pen", "wax", "web"]
    cls = get_dataset_class("shapes")
    monkeypatch.chdir(tmp_path)
    assert len(cls("data", [], PLAIN)) == 3  # what was found stays found


def test_a_domain_may_lack_a_class_unless_the_dataset_is_a_published_one(pacs):
    shutil.rmtree(pacs / "PACS" / "sketch" / "dog")
    dataset = _open(pacs / "PACS", pacs)
    assert dataset.classes == ["dog", "house"]
    assert [sorted(set(domain.targets)) for domain in dataset] == [[0, 1]] * 3 + [[1]]
    text = _refusal("PACS", pacs)
    assert "every domain needs images of every class, but domain sketch has no image of dog" in text


def _refusal(name, root):
    with pytest.raises(InputError) as error:
        _open(name, root)
    text = str(error.value)
    assert len(text.splitlines()) <= 2
    return text


def test_domains_may_go_by_other_names_with_the_same_initials(pacs):
    (pacs / "PACS" / "art_painting").rename(pacs / "PACS" / "Art")
    assert [domain.root.name for domain in _open("PACS", pacs)] == ["Art", *PACS[1:]]
    (pacs / "PACS" / "photo").rename(pacs / "PACS" / "splits")
    assert "Missing: art_painting, photo. Not a domain: Art, splits." in _refusal("PACS", pacs)


@pytest.fixture
def entries(tmp_path):
    """(domain, class, file) of a folder, in an order that is none."""
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 3)
    found = [(p.parts[-3], p.parts[-2], str(p.relative_to(tmp_path))) for p in root.rglob("*.png")]
    return sorted(found, key=lambda entry: entry[2][::-1])


def _write(entries, path):
    if path.suffix == ".csv":
        path.write_text("\n".join(["domain,class,file", *(",".join(e) for e in entries)]))
    else:
        path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize("name", ["files.csv", "files.json", "FILES.CSV"])
def test_a_list_is_the_same_dataset_as_the_folder(name, entries, tmp_path):
    _write(entries, tmp_path / name.lower()).rename(tmp_path / name)
    expected, dataset = _open("set", tmp_path, [0]), _open(name, tmp_path, [0])
    assert type(dataset).__name__ == name
    assert dataset.ENVIRONMENTS == expected.ENVIRONMENTS == ["one", "two"]
    assert (dataset.classes, dataset.input_shape) == (expected.classes, (3, 28, 28))
    assert dataset.FIXED_SPLIT is None
    for domain, same in zip(dataset, expected, strict=True):
        assert (domain.targets, domain.samples) == (same.targets, same.samples)
        assert torch.equal(domain[4][0], same[4][0])


def test_a_list_may_lack_a_class_in_a_domain_and_fix_the_split(entries, tmp_path):
    kept = [(*entry, "train") for entry in entries if entry[:2] != ("two", "y")]
    path = _write(kept, tmp_path / "files.json")
    dataset = _open(path, tmp_path)
    assert dataset[1].targets == [0, 0, 0]
    assert dataset.FIXED_SPLIT == [["train"] * 6, ["train"] * 3]
