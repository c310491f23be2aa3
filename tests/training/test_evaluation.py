"""One pass counts the hits of every class."""

from types import SimpleNamespace

import numpy as np
import torch

from ndcl_domainbed.training import evaluation
from ndcl_domainbed.training.evaluation import PLAIN, count_hits, evaluation_mode


class _Fixed(torch.nn.Module):
    """Predicts the class that an input holds; notes the mode that it was asked in."""

    def __init__(self):
        super().__init__()
        self.modes = []

    def predict(self, x):
        self.modes.append(self.training)
        assert torch.is_inference_mode_enabled()
        return torch.nn.functional.one_hot(x.long(), 4).float()


def test_counts_agree_with_a_loop_over_the_images():
    rng = np.random.RandomState(0)
    predicted, labels = rng.randint(4, size=103), rng.randint(3, size=103)
    batches = [
        (torch.as_tensor(predicted[i : i + 10]), torch.as_tensor(labels[i : i + 10]))
        for i in range(0, 103, 10)
    ]
    model = _Fixed()
    with evaluation_mode(model):
        counts = count_hits(model, {}, batches, 4, torch.device("cpu"))[PLAIN]
    expected = [[0, 0] for _ in range(4)]
    for guess, label in zip(predicted, labels, strict=True):
        expected[label][0] += int(guess == label)
        expected[label][1] += 1
    assert counts.correct.tolist() == [hits for hits, _ in expected]
    assert counts.total.tolist() == [images for _, images in expected]
    assert counts.predicted.tolist() == np.bincount(predicted, minlength=4).tolist()
    assert model.modes == [False] * 11
    assert model.training


def test_an_empty_split_has_no_images():
    counts = count_hits(_Fixed(), {}, [], 2, torch.device("cpu"))[PLAIN]
    assert [part.tolist() for part in counts] == [[0, 0]] * 3


def test_a_split_without_validation_images_is_selected_by_what_is_held_out():
    sets = {(1, "in"): [0], (1, "out"): [1], (1, "val"): []}
    dataset = SimpleNamespace(sources=[1], evaluation_sets=sets)
    assert evaluation.validation_split(dataset) == "out"
    record = {"env1_val_acc": None, "env1_out_acc": 0.5}
    assert evaluation.validation_score(dataset, record) == 0.5
