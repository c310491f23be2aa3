"""A saved model, loaded in one line, predicts what the run recorded."""

import csv
import errno
import io
import json

import pytest
import torch
from PIL import Image

import ndcl_domainbed
from imbalance_splits.errors import InputError
from ndcl_domainbed import registry
from ndcl_domainbed.diagnostics.saved_run import load_run
from ndcl_domainbed.scripts import predict
from tests.command_line import call
from tests.features.commands import CLASSES, write_photos
from tests.features.training import train_words
from tests.training.runs import records, train_shortly

SMALL = {"image_size": 40, "backbone": "small_cnn", "frozen": False}
KINDS = {"kept size": {"image_size": 28, "backbone": "small_cnn", "frozen": False},
         "resized": SMALL, "frozen": {}}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS, ids=lambda name: name.replace(" ", "_"))
def run(request, tmp_path_factory):
    """The folder of a run on images, and the folder of the images."""
    folder = tmp_path_factory.mktemp("run")
    size = 28 if request.param == "kept size" else 48
    write_photos(folder, per_class=6, size=size)
    words = train_words(
        folder, "--steps", 3, "--output_dir", folder / "run", **KINDS[request.param]
    )
    outcome = call(*words)
    assert outcome.status == 0, outcome.err
    return folder / "run"


def test_it_predicts_images_as_the_run_did(run):
    model = ndcl_domainbed.load_model(run, device="cpu", last=True)
    assert model.step == 2
    assert model.classes == CLASSES
    assert not model.training
    dataset = load_run(run).dataset
    last = records(run)[-1]
    for (env, split), subset in dataset.evaluation_sets.items():
        found = sorted((run.parent / "photos" / dataset.environments[env]).glob("*/*"))
        paths = [found[index] for index in subset.indices]
        labels = torch.tensor([CLASSES.index(path.parent.name) for path in paths])
        predictions = model.predict(paths)
        right = (predictions.labels == labels).float().mean().item()
        assert right == pytest.approx(last[f"env{env}_{split}_acc"])
        assert predictions.probabilities.shape == (len(paths), 2)
        assert torch.allclose(predictions.probabilities.sum(dim=1), torch.ones(len(paths)))
    images = [Image.open(path) for path in paths]
    tensors = torch.stack([model.transform(image) for image in images])
    assert tensors.shape[1:] == model.input_shape
    assert torch.equal(model.predict(images).probabilities, predictions.probabilities)
    assert torch.equal(model.predict(tensors).probabilities, predictions.probabilities)
    for one in (paths[0], str(paths[0]), images[0]):
        assert model.predict(one).labels.shape == (1,)


def test_the_selected_step_is_kept_beside_the_last(tmp_path):
    """Of a run whose accuracy goes up and down, so that the last step is not the best."""
    photos = write_photos(tmp_path, per_class=20)
    hparams = {"backbone": "small_cnn", "batch_size": 4, "lr": 0.03, "image_size": 28}
    outcome = call(
        "train", "--dataset", photos, "--steps", 12, "--checkpoint_freq", 1, "--imbalance",
        "TotalHeavyTail", "--hparams", json.dumps(hparams), "--output_dir", tmp_path / "run",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    scores = [r["env1_val_acc"] + r["env2_val_acc"] for r in records(tmp_path / "run")]
    best = scores.index(max(scores))
    assert best < 11
    model = ndcl_domainbed.load_model(tmp_path / "run", "cpu")
    assert model.step == best
    counts = json.loads((tmp_path / "run" / "split.json").read_text())["train_counts"]
    assert model.label_counts.tolist() == list(counts.values())
    dataset = load_run(tmp_path / "run").dataset
    found = sorted((photos / dataset.environments[0]).glob("*/*"))
    subset = dataset.evaluation_sets[0, "in"]
    right = [
        int(label) == subset.dataset.targets[index]
        for index, label in zip(
            subset.indices, model.predict([found[i] for i in subset.indices]).labels, strict=True
        )
    ]
    assert sum(right) / len(right) == records(tmp_path / "run")[best]["env0_in_acc"]
    assert ndcl_domainbed.load_model(tmp_path / "run", "cpu", last=True).step == 11
    (tmp_path / "run" / "model_best.pkl").unlink()
    assert ndcl_domainbed.load_model(tmp_path / "run", "cpu").step == 11


@pytest.mark.parametrize("run", ["resized"], indirect=True)
@pytest.mark.parametrize("to_file", [False, True])
def test_predictions_are_a_csv_of_classes_and_probabilities(run, tmp_path, to_file):
    image, folder = run.parent / "photos" / "ink" / "hat" / "000.png", run.parent / "photos" / "oil"
    more = ["--output", tmp_path / "found.csv"] if to_file else []
    outcome = call("predict", run, image, folder, *more, "--device", "cpu")
    assert outcome.status == 0, outcome.err
    text = (tmp_path / "found.csv").read_text() if to_file else outcome.out
    rows = list(csv.DictReader(text.splitlines()))
    paths = [image, *sorted(folder.glob("*/*"))]
    assert [row["image"] for row in rows] == [str(path) for path in paths]
    predictions = ndcl_domainbed.load_model(run, "cpu").predict(paths)
    assert [row["class"] for row in rows] == [CLASSES[k] for k in predictions.labels]
    for row, wanted in zip(rows, predictions.probabilities.tolist(), strict=True):
        assert [float(row[name]) for name in CLASSES] == pytest.approx(wanted, abs=1e-6)


def test_only_the_output_is_said_not_to_be_writable(tmp_path):
    image = tmp_path / "image.png"
    with pytest.raises(OSError, match=r"image\.png"), predict.open_output(str(tmp_path / "a")):
        raise OSError(errno.EMFILE, "Too many open files", str(image))
    for path in (tmp_path, image / "found.csv", tmp_path / ("a" * 300)):
        image.touch()
        with (
            pytest.raises(InputError, match=f"cannot write {path}"),
            predict.open_output(str(path)),
        ):
            pass


@pytest.mark.parametrize("run", ["resized"], indirect=True)
@pytest.mark.parametrize(
    ("images", "said"),
    [(["nothing.png"], "there is no image or folder nothing.png"),
     (["."], "has no images in it"), (["broken.png"], "cannot read the image broken.png")],
)  # fmt: skip
def test_what_cannot_be_predicted_is_named(run, tmp_path, monkeypatch, images, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".hidden.png").touch()
    if images == ["broken.png"]:
        (tmp_path / "broken.png").write_bytes(b"no image")
    outcome = call("predict", run, *images, "--output", tmp_path / "found.csv")
    assert outcome.status == 2
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not (tmp_path / "found.csv").exists()


@pytest.mark.parametrize("algorithm", ["BSoftmax", "NDCL"])
def test_domainbeds_recipe_loads_a_model_or_says_what_does(algorithm, tmp_path):
    assert train_shortly(tmp_path, "--algorithm", algorithm).status == 0
    saved = torch.load(tmp_path / "model.pkl", weights_only=True)

    def build(hparams):
        found = registry.get_algorithm_class(algorithm)(
            saved["model_input_shape"], saved["model_num_classes"], saved["model_num_domains"],
            hparams,
        )  # fmt: skip
        found.load_state_dict(saved["model_dict"])
        return found

    x = torch.randn(3, *saved["model_input_shape"])
    expected = ndcl_domainbed.load_model(tmp_path, "cpu", last=True)(x)
    if algorithm == "BSoftmax":  # it needs the label counts
        with pytest.raises(InputError, match=r"use ndcl_domainbed\.load_model\(run\)"):
            build(saved["model_hparams"])
    else:
        torch.testing.assert_close(build(saved["model_hparams"]).eval().predict(x), expected)


def test_a_file_of_an_earlier_version_takes_tensors_alone(run, tmp_path):
    saved = torch.load(run / "model.pkl", weights_only=True)
    for name in ("model_classes", "model_preprocessing", "model_network"):
        del saved[name]
    torch.save(saved, tmp_path / "old.pkl")
    files = (tmp_path / "old.pkl", run / "model.pkl")
    old, new = (ndcl_domainbed.load_model(path, "cpu") for path in files)
    assert old.classes is None
    assert old.transform is None
    inputs = torch.randn(3, *new.input_shape)
    assert torch.equal(old.predict(inputs).probabilities, new.predict(inputs).probabilities)
    with pytest.raises(InputError, match=r"is not known: .*\nGive a tensor \(n, 3, "):
        old.predict([Image.new("RGB", (28, 28))])
    with pytest.raises(InputError, match=r"takes inputs of the shape \(n, 3, .*as \(1, 3, 7, 7\)"):
        old.predict(torch.zeros(1, 3, 7, 7))
    with pytest.raises(InputError, match="no images"):
        old.predict([])


@pytest.fixture
def frozen_run(tmp_path):
    write_photos(tmp_path)
    assert call(*train_words(tmp_path, "--steps", 1, "--output_dir", tmp_path / "run")).status == 0
    return tmp_path / "run"


@pytest.mark.parametrize("where", ["file", "record"])
def test_other_weights_of_the_frozen_network_are_refused(frozen_run, where):
    saved = torch.load(frozen_run / "model.pkl", weights_only=True)
    network = saved.pop("model_network")
    assert network == records(frozen_run)[0]["network"]
    network |= {"digest": "sha256:0123456789abcdef", "weights": "file w.pth"}
    if where == "file":
        saved["model_network"] = network
    else:
        lines = [json.dumps({**record, "network": network}) for record in records(frozen_run)]
        (frozen_run / "results.jsonl").write_text("\n".join(lines) + "\n")
    torch.save(saved, frozen_run / "model.pkl")
    with pytest.raises(InputError) as error:
        ndcl_domainbed.load_model(frozen_run, last=True)
    first, second = str(error.value).splitlines()
    assert "small_cnn with other weights (file w.pth, sha256:0123456789abcdef)" in first
    assert second.startswith("Install the package versions")


def test_an_image_of_pillows_that_is_cut_off_is_an_input_error(run):
    content = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(content, "PNG")
    model = ndcl_domainbed.load_model(run, "cpu")
    with pytest.raises(InputError, match="an image cannot be used: image file is truncated"):
        model.predict([Image.open(io.BytesIO(content.getvalue()[:1000]))])


@pytest.mark.parametrize("run", ["resized"], indirect=True)
def test_transparent_pixels_are_decoded_as_in_the_run(run, monkeypatch):
    image = Image.new("RGBA", (48, 48), (250, 0, 0, 0))
    on_white = ndcl_domainbed.load_model(run, "cpu").predict([image]).probabilities
    saved = torch.load(run / "model.pkl", weights_only=True)
    assert saved["model_preprocessing"]["hidden_colors"] is False  # PublishedFolders: True
    model = ndcl_domainbed.load_model(run, "cpu")
    model.hidden_colors = True
    red = model.predict([Image.new("RGB", (48, 48), (250, 0, 0))]).probabilities
    assert torch.equal(model.predict([image]).probabilities, red)
    assert not torch.equal(on_white, red)


def test_a_weight_with_two_names_is_written_once_from_a_device_too(tmp_path, monkeypatch):
    sizes = []
    for name in ("cpu", "device"):
        assert train_shortly(tmp_path / name).status == 0
        sizes.append((tmp_path / name / "model.pkl").stat().st_size)
        monkeypatch.setattr(torch.Tensor, "cpu", torch.Tensor.clone)  # as from a device
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_without_a_model_it_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no saved model .*model.pkl: name the folder of a run"):
        ndcl_domainbed.load_model(tmp_path)


def test_weights_of_another_shape_are_an_error(tmp_path):
    assert train_shortly(tmp_path / "run").status == 0
    saved = torch.load(tmp_path / "run" / "model.pkl", weights_only=True)
    saved["model_num_classes"] = 5
    torch.save(saved, tmp_path / "other.pkl")
    with pytest.raises(InputError, match=r"other.pkl does not fit ERM as it is now: size mismatch"):
        ndcl_domainbed.load_model(tmp_path / "other.pkl")


def test_a_name_that_the_package_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'load_models'"):
        _ = ndcl_domainbed.load_models
