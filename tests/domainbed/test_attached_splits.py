"""How DomainBed's own training script splits and draws from our datasets, in a user's fork."""

import json
import os

import pytest

from imbalance_splits.published import DOMAINS, label_counts
from tests.image_folders import write_images

pytestmark = pytest.mark.domainbed

RUN_TRAIN = """
import json, runpy, sys
import numpy as np
from ndcl_domainbed.attach import register
register()

def run(*flags):
    sys.argv = ["train", "--data_dir", ".", *flags]
    out, err = sys.stdout, sys.stderr
    found = runpy.run_module("domainbed.scripts.train", run_name="__main__", alter_sys=True)
    sys.stdout, sys.stderr = out, err
    return found

def counted(splits, classes):
    return [np.bincount([int(y) for _, y in part], minlength=classes).tolist() for part in splits]
"""


def test_domains_are_split_by_the_protocol_with_domainbeds_seeds(python, tmp_path):
    outcome = python.run(
        "-c",
        RUN_TRAIN
        + """
from domainbed import datasets
from imbalance_splits.labels import label_counts_of
from imbalance_splits.make_table import table_for
from imbalance_splits.seeds import seed_hash

found = run("--dataset", "Tiny28_Duality", "--algorithm", "GINIDG", "--test_envs", "1",
            "--trial_seed", "3", "--steps", "2", "--hparams", '{"batch_size": 4}')
plain = datasets.Tiny28(".", [1], {})
table = table_for("Tiny28", "Duality", label_counts_of(plain))
for env, source in ((0, "one"), (2, "three")):
    labels = plain[env].tensors[1].numpy()
    inside, outside = found["in_splits"][env][0], found["out_splits"][env][0]
    expected_in, expected_out = [], []
    for label in range(3):
        indices = np.flatnonzero(labels == label)
        np.random.RandomState(seed_hash(3, env)).shuffle(indices)
        m = table.train_counts["two"][source][str(label)]
        expected_in += indices[:m].tolist()
        expected_out += indices[m:m + 5].tolist()
    assert inside.indices == expected_in and outside.indices == expected_out
    assert counted([outside], 3) == [[5, 5, 5]]
    for index, (x, y) in zip(inside.indices, inside, strict=True):
        assert (x == plain[env][index][0]).all() and y == plain[env][index][1]
keys = list(range(49))
np.random.RandomState(seed_hash(3, 1)).shuffle(keys)
assert found["out_splits"][1][0].keys == keys[:9]
hparams = found["algorithm"].hparams
sources = [found["in_splits"][env][0] for env in (0, 2)]
assert hparams.label_counts.tolist() == counted(sources, 3)
assert hparams.train_sets == sources
assert hparams.n_steps == 2
""",
        cwd=tmp_path,
    )
    assert outcome.status == 0, outcome.err
    record = json.loads((tmp_path / "train_output" / "results.jsonl").read_text().splitlines()[-1])
    assert record["args"]["dataset"] == "Tiny28_Duality"
    assert not {"label_counts", "train_sets", "n_steps"} & set(record["hparams"])


def test_algorithms_that_need_label_counts_have_them_on_ordinary_datasets(python, tmp_path):
    outcome = python.run(
        "-c",
        RUN_TRAIN
        + """
small = '{"batch_size": 4}'
adapting = ["--task", "domain_adaptation", "--uda_holdout_fraction", "0.5"]
for flags in ([], adapting):
    found = run("--dataset", "Tiny28", "--algorithm", "ReWeight", "--test_envs", "0", "2",
                "--checkpoint_freq", "100", "--hparams", small, *flags)
    hparams = found["algorithm"].hparams
    source = found["in_splits"][1][0]
    assert hparams.train_sets == [source]
    assert hparams.label_counts.tolist() == counted([source], 3)
    assert hparams.n_steps == 21
assert len(found["uda_splits"]) == 2
""",
        cwd=tmp_path,
    )
    assert outcome.status == 0, outcome.err


def test_every_saved_model_loads_by_domainbeds_recipe_and_by_ours(python, tmp_path):
    outcome = python.run(
        "-c",
        RUN_TRAIN
        + """
import torch
from domainbed import algorithms
from ndcl_domainbed import load_model
from ndcl_domainbed.algorithms import classes

images = torch.rand(5, 3, 28, 28)
for name in ("ERM", *classes()):
    trained = run("--dataset", "Tiny28_Duality", "--algorithm", name, "--steps", "1",
                  "--hparams", '{"batch_size": 4}', "--output_dir", name)["algorithm"].eval()
    saved = torch.load(f"{name}/model.pkl")
    loaded = algorithms.get_algorithm_class(saved["args"]["algorithm"])(
        saved["model_input_shape"], saved["model_num_classes"], saved["model_num_domains"],
        saved["model_hparams"])
    loaded.load_state_dict(saved["model_dict"])
    expected = trained.predict(images).softmax(1)
    assert torch.allclose(loaded.eval().predict(images).softmax(1), expected, atol=1e-6), name
    found = load_model(name, "cpu").predict(images).probabilities
    assert torch.allclose(found, expected, atol=1e-6), name
""",
        cwd=tmp_path,
    )
    assert outcome.status == 0, outcome.err


def test_class_balanced_sampling_works_on_an_imbalanced_dataset(python, tmp_path):
    outcome = python.run(
        "-c",
        RUN_TRAIN
        + """
found = run("--dataset", "Tiny28_Exponential", "--algorithm", "ERM", "--steps", "1",
            "--hparams", '{"batch_size": 90, "class_balanced": true}')
drawn = [np.bincount(y) for x, y in next(found["train_minibatches_iterator"])]
counts = np.array(counted([split for split, _ in found["in_splits"][1:]], 3))
assert counts.max() >= 4 * counts.min()
assert (abs(np.array(drawn) - 30) < 16).all(), drawn
""",
        cwd=tmp_path,
    )
    assert outcome.status == 0, outcome.err


def test_image_folders_of_the_checkout_keep_its_transforms(python, tmp_path):
    places = ("location_100", "location_38", "location_43", "location_46")
    write_images(tmp_path / "terra_incognita", places, ["bat", "cat"], per_class=9, size=10)
    outcome = python.run(
        "-c",
        """if True:
        import torch
        from ndcl_domainbed.attach import register
        register()
        from domainbed import datasets
        from domainbed.lib import misc
        hparams = {"data_augmentation": True}
        dataset = datasets.TerraIncognita_Balanced(".", [3], hparams)
        plain = datasets.TerraIncognita(".", [0, 3], hparams)
        for env, same in ((0, False), (3, True)):
            out, inside = misc.split_dataset(dataset[env], 3, seed=1)
            indices = inside.keys if same else inside.indices
            assert len(inside) == (15 if same else 6)
            pairs = [(inside[n], plain[env][index]) for n, index in enumerate(indices)]
            assert all(x.shape == (3, 224, 224) and y == label for (x, y), (_, label) in pairs)
            assert all(torch.equal(x, image) for (x, _), (image, _) in pairs) == same
        """,
        cwd=tmp_path,
    )
    assert outcome == (0, "", "")


@pytest.fixture(scope="module")
def pacs(tmp_path_factory):
    """A data directory with as many image files as PACS has; nobody opens one."""
    root = tmp_path_factory.mktemp("data")
    image = root / "image.jpg"
    image.write_bytes(b"")
    counts = label_counts("PACS")
    for name, folder in DOMAINS["PACS"].items():
        for label, count in counts[name].items():
            target = root / "PACS" / folder / label
            target.mkdir(parents=True)
            for index in range(count):
                os.link(image, target / f"{index:04}.jpg")
    return root


def test_published_tables_are_used_and_the_images_are_those_of_our_own_scripts(python, pacs):
    outcome = python.run(
        "-c",
        """if True:
        import pickle, sys
        import numpy as np
        from ndcl_domainbed.attach import register
        register()
        from domainbed import datasets
        from domainbed.lib import misc
        from imbalance_splits.datasets import ImbalancedDataset
        from imbalance_splits.published import published_table
        hparams = {"data_augmentation": True}
        for setting, test_envs in (("TotalHeavyTail", [0]), ("Duality", [3, 1]), ("GINIDG", [2])):
            table = published_table("PACS", setting)
            attached = datasets.get_dataset_class(f"PACS_{setting}")(".", test_envs, hparams)
            ours = ImbalancedDataset(datasets.PACS, ".", test_envs, hparams, table, 7)
            assert attached.num_classes == 7 and attached.input_shape == (3, 224, 224)
            for env, domain in enumerate(attached):
                seed = misc.seed_hash(7, env)
                out, inside = misc.split_dataset(domain, int(len(domain) * 0.2), seed)
                if env in test_envs:
                    assert out.keys == list(ours.evaluation_sets[env, "out"].indices)
                    assert domain.transform is attached[test_envs[0]].transform
                    continue
                assert out.indices == list(ours.evaluation_sets[env, "val"].indices)
                assert inside.indices == list(ours.evaluation_sets[env, "in"].indices)
                names = domain.classes
                counts = np.bincount([domain.targets[i] for i in inside.indices]).tolist()
                row = table.train_counts["ACPS"[test_envs[0]]]["ACPS"[env]]
                assert counts == [row[name] for name in names]
                again = pickle.loads(pickle.dumps(inside))  # as loaders that spawn need
                assert again.indices == inside.indices
                assert again.dataset.samples == inside.dataset.samples
        """,
        cwd=pacs,
    )
    assert outcome == (0, "", "")


def test_a_domain_that_is_smaller_than_a_batch_is_drawn_from_with_replacement(python):
    outcome = python.run(
        "-c",
        """if True:
        import torch
        from torch.utils.data import TensorDataset
        from domainbed.lib.fast_data_loader import InfiniteDataLoader
        large = TensorDataset(torch.arange(45))
        small = TensorDataset(torch.arange(40))

        def batches(dataset, weights=None, n=60):
            torch.manual_seed(0)
            iterator = iter(InfiniteDataLoader(dataset, weights, batch_size=45, num_workers=0))
            return [next(iterator)[0] for _ in range(n)]

        weights = torch.arange(40.0)
        before = batches(large), batches(small, weights)
        from ndcl_domainbed.attach import register
        register()
        for then, now in zip(before, (batches(large), batches(small, weights))):
            assert all(torch.equal(a, b) for a, b in zip(then, now))
        drawn = torch.stack(batches(small))
        assert drawn.shape == (60, 45)
        often = torch.bincount(drawn.flatten(), minlength=40)
        assert (often - 60 * 45 / 40).abs().max() < 4 * (60 * 45 / 40) ** 0.5
        """,
    )
    assert outcome == (0, "", "")


def test_the_images_of_a_source_domain_are_not_to_be_had_without_its_split(python):
    outcome = python.run(
        "-c",
        """if True:
        from ndcl_domainbed.attach import register
        from ndcl_domainbed.scripts.cli import run
        register()
        from domainbed import datasets
        dataset = datasets.Tiny28_Cross(".", [0], {})
        dataset[0][0]
        run(lambda argv: dataset[1][0])
        """,
    )
    assert outcome.status == 2
    assert outcome.err.startswith("error: domain two has imbalanced training images")
