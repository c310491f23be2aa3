"""The front door for splits alone gives the images that training gives."""

import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from imbalance_splits import InputError, make_imbalance, table_for
from imbalance_splits.datasets import ImbalancedDataset
from imbalance_splits.labels import label_counts_of
from imbalance_splits.splitting import DomainIndices
from tests.image_folders import write_images
from tests.imbalance_splits.stand_ins import InMemory

NAMES = ["cat", "dog", "owl"]
LABELS = {d: InMemory(None, [], {})[i].tensors[1] for i, d in enumerate(InMemory.ENVIRONMENTS)}


def trained_on(setting, target, seed, **parameters):
    """Return the indices of every source domain in a dataset for training."""
    table = setting
    if isinstance(setting, str):
        counts = label_counts_of(InMemory(None, [], {}))
        table = table_for("InMemory", setting, counts, parameters)
    env = InMemory.ENVIRONMENTS.index(target)
    split = ImbalancedDataset(InMemory, None, [env], {}, table, seed)
    return {
        split.environments[source]: [
            split.evaluation_sets[source, part].indices for part in ("in", "val", "out")
        ]
        for source in split.sources
    }


@pytest.mark.parametrize("target", InMemory.ENVIRONMENTS)
@pytest.mark.parametrize(
    ("setting", "parameters"),
    [("TotalHeavyTail", {}), ("Exponential", {"factor": 4.0, "validation": 3}), ("Duality", {})],
    ids=["TotalHeavyTail", "Exponential", "Duality"],
)
@pytest.mark.parametrize("seed", [0, 7])
def test_the_images_are_those_of_training(setting, parameters, target, seed):
    split = make_imbalance(LABELS, setting, target, seed, **parameters)
    wanted = trained_on(setting, target, seed, **parameters)
    assert list(split.sources) == list(wanted)
    for name, parts in split.sources.items():
        found = [parts.train.tolist(), parts.validation.tolist(), parts.test.tolist()]
        assert found == wanted[name]
        trained = np.bincount(LABELS[name][parts.train], minlength=3)
        assert trained.tolist() == split.counts[list(wanted).index(name)].tolist()


def test_names_lists_arrays_and_datasets_say_the_same(tmp_path):
    write_images(tmp_path, ["art", "pen", "web"], NAMES[:2], per_class=10)
    folders = {path.name: ImageFolder(path) for path in sorted(tmp_path.iterdir())}
    given = {"validation": 2, "factor": 3.0}
    first = make_imbalance(folders, "Exponential", "pen", 5, **given)
    assert first.classes == NAMES[:2]
    assert first.shot_groups.keys() == set(NAMES[:2])
    numbers = {name: folder.targets for name, folder in folders.items()}
    ways = [
        make_imbalance(numbers, "Exponential", "pen", 5, classes=NAMES[:2], **given),
        make_imbalance({k: np.array(v) for k, v in numbers.items()}, "Exponential", "pen", 5,
                       **given),
        make_imbalance({k: [NAMES[i] for i in v] for k, v in numbers.items()}, "Exponential",
                       "pen", 5, **given),
    ]  # fmt: skip
    assert [way.classes for way in ways] == [NAMES[:2], ["0", "1"], NAMES[:2]]
    for way in ways:
        for name, parts in way.sources.items():
            assert_same(parts, first.sources[name])


def test_image_folders_of_different_classes_are_numbered_together(tmp_path):
    write_images(tmp_path, ["art", "pen"], ["cat", "owl"], per_class=10)
    write_images(tmp_path, ["web"], ["dog", "owl"], per_class=10)
    folders = {path.name: ImageFolder(path) for path in sorted(tmp_path.iterdir())}
    names = {d: [f.classes[k] for k in f.targets] for d, f in folders.items()}
    one, other = (
        make_imbalance(given, "Exponential", "art", factor=3, validation=2)
        for given in (folders, names)
    )
    assert one.classes == other.classes == ["cat", "dog", "owl"]
    assert (one.counts > 0).tolist() == [[True, False, True], [False, True, True]]
    for name, parts in one.sources.items():
        assert_same(parts, other.sources[name])
    assert one.notes[0] == "domain art has no image of dog"


def assert_same(one: DomainIndices, other: DomainIndices):
    for part in ("train", "validation", "test"):
        assert getattr(one, part).tolist() == getattr(other, part).tolist()


def test_a_published_table_and_one_of_ones_own(tmp_path):
    table = table_for("PACS", "TotalHeavyTail")
    rng = np.random.RandomState(0)
    labels = {d: rng.permutation(np.repeat(table.classes, 2000)) for d in table.domains}
    split = make_imbalance(labels, "TotalHeavyTail", "S", dataset="PACS")
    assert split.table == table
    assert split.classes == sorted(table.classes)
    dog = split.classes.index("dog")
    assert split.counts[:, dog].tolist() == [178, 183, 85]
    table.write(tmp_path / "own.json")
    for own in (tmp_path / "own.json", table):
        again = make_imbalance(labels, own, "S")
        for name, parts in again.sources.items():
            assert_same(parts, split.sources[name])


def test_notes_tell_of_empty_groups_and_of_how_much_is_kept():
    notes = make_imbalance(LABELS, "Balanced", "a").notes
    assert notes[0].startswith("Empty: Many, Few (every class that is trained on has the same")
    assert notes[1].startswith("With target a, ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "z"}, "no labels of the target 'z'; there are: a, b, c"),
        ({"facto": 3}, "unknown parameter of Exponential 'facto'; did you mean 'factor'"),
        ({"labels": {**LABELS, "b": [0, 3]}, "classes": NAMES}, "domain b: labels from 0 to 3, "),
        ({"labels": {**LABELS, "b": [[0, 1]]}}, "domain b: the labels must be a list of whole"),
        ({"labels": {**LABELS, "b": [0.5]}}, "domain b: the labels must be a list of whole"),
        ({"labels": {"a": ["cat"], "b": ["cow"]}, "target": "b", "classes": NAMES},
         "the labels have cow, which is not among the classes"),
        ({"setting": table_for("PACS", "Cross"), "target": "b"}, "differ in their classes"),
    ],
    ids=["target", "parameter", "range", "nested", "float", "name", "table"],
)  # fmt: skip
def test_what_cannot_be_used_is_an_error(changes, message):
    given = {"labels": LABELS, "setting": "Exponential", "target": "a", **changes}
    with pytest.raises(InputError, match=message):
        make_imbalance(**given)
