"""A saved model, ready to predict: from the file of a run to a torch module."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from imbalance_splits.errors import InputError
from imbalance_splits.pixels import read_rgb, to_rgb
from ndcl_domainbed import registry
from ndcl_domainbed.features.extraction import half_precision
from ndcl_domainbed.features.frozen import frozen_backbone
from ndcl_domainbed.hparams import Hparams, is_frozen
from ndcl_domainbed.run_folder import BEST_MODEL_FILE, MODEL_FILE, RECORDS_FILE
from ndcl_domainbed.testbed.datasets.images import transforms
from ndcl_domainbed.testbed.networks import describe_weights
from ndcl_domainbed.training import records
from ndcl_domainbed.training.feed import evaluation_batch_size
from ndcl_domainbed.training.preparation import choose_device

_Image = Image.Image | str | Path


class Predictions(NamedTuple):
    """What a model says of n images, on the CPU.

    ``labels``: the most probable class of each, int64 (n,); ``probabilities``: of every class,
    float32 (n, K).
    """

    labels: Tensor
    probabilities: Tensor


class SavedModel(nn.Module):
    """A trained model in evaluation mode: inputs (B, C, H, W) to logits (B, K).

    - ``classes``: the names of the K classes; None for a file that does not name them;
    - ``transform``: from a PIL image to one input (C, H, W), as in the run's evaluations; None for
      a dataset that is not made of images, and for a file that does not say;
    - ``input_shape``: (C, H, W);
    - ``algorithm``, ``hparams``: what was trained, and how;
    - ``step``: the last update of this model; None for a file that does not say;
    - ``label_counts``: int64 (M, K), the training images of each source domain and class; None
      for a file that does not say;
    - ``backbone``: the frozen network in front of the algorithm, None if there is none.
    """

    def __init__(
        self,
        algorithm: Any,
        hparams: Hparams,
        input_shape: Sequence[int],
        classes: list[str] | None,
        transform: Callable[[Image.Image], Tensor] | None,
        backbone: nn.Module | None,
        step: int | None,
    ) -> None:
        super().__init__()
        self.step = step
        self.label_counts: np.ndarray | None = hparams.label_counts
        self.algorithm = algorithm
        self.backbone = backbone
        self.hparams = dict(hparams)
        self.input_shape = tuple(input_shape)
        self.classes = classes
        self.transform = transform
        self.hidden_colors = False
        """Whether transparent pixels show their color, as in the run, and not white."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, K) of the inputs ``x``."""
        if self.backbone is not None:
            x = half_precision(self.backbone(x)).float()
        return self.algorithm.predict(x)

    def predict(self, images: _Image | Sequence[_Image] | Tensor) -> Predictions:
        """Return what the model says of ``images``: PIL images and paths, or inputs (n, C, H, W).

        A single image or path counts as one of a list. Raises InputError for inputs of another
        shape, for an image that cannot be decoded, and for images where ``transform`` is None.
        """
        if isinstance(images, Image.Image | str | Path):
            images = [images]
        device = next(self.parameters()).device
        size = evaluation_batch_size(self.input_shape)
        self.eval()
        with torch.inference_mode():
            logits = [
                self(self._inputs(images[start : start + size]).to(device)).float().cpu()
                for start in range(0, len(images), size)
            ]
        if not logits:
            raise InputError("there are no images to predict: give one at least.")
        probabilities = torch.cat(logits).softmax(dim=1)
        return Predictions(probabilities.argmax(dim=1), probabilities)

    def _inputs(self, images: Sequence[_Image] | Tensor) -> Tensor:
        if isinstance(images, Tensor):
            if tuple(images.shape[1:]) != self.input_shape:
                raise InputError(
                    f"the model takes inputs of the shape (n, {str(self.input_shape)[1:]}; they "
                    f"were given as {tuple(images.shape)}."
                )
            return images.float()
        if self.transform is None:
            raise InputError(
                "how an image becomes an input of this model is not known: its dataset or its "
                f"file does not say.\nGive a tensor (n, {str(self.input_shape)[1:]}."
            )
        how = {
            "hidden_colors": self.hidden_colors,
            "exif_rotation": bool(self.hparams.get("exif_rotation")),
        }
        try:
            decoded = [
                to_rgb(image, **how) if isinstance(image, Image.Image) else read_rgb(image, **how)
                for image in images
            ]
        except (ValueError, OSError, SyntaxError) as error:  # it has no range, or is damaged
            raise InputError(f"an image cannot be used: {error}") from error
        return torch.stack([self.transform(image) for image in decoded])


def load_model(
    run_or_file: str | Path, device: str | None = None, *, last: bool = False
) -> SavedModel:
    """Return the model of a run: its folder, or a file such as ``model_step300.pkl`` in it.

    Of a folder it is the model of the step that balanced validation selects (on an ordinary split,
    the held-out accuracy of the sources); with ``last`` that of the last step. It is on ``device``
    (None: CUDA where there is one, else the CPU). The data of the run are not needed. Raises
    InputError if there is no such file, if it does not fit the algorithm as it is now, or if the
    frozen network in front of it has other weights than in the run.
    """
    path = Path(run_or_file)
    if path.is_dir():
        best = path / BEST_MODEL_FILE
        path = best if best.exists() and not last else path / MODEL_FILE
    saved = read_saved(path)
    where = choose_device(device)
    hparams = Hparams(saved["model_hparams"])
    attached = getattr(saved["model_hparams"], "label_counts", None)  # by a DomainBed script
    counts = saved.get("model_label_counts", attached)
    hparams.label_counts = None if counts is None else np.array(counts, dtype=np.int64)
    hparams.train_sets = []
    algorithm = build_algorithm(saved, path, hparams)
    shape, facts = saved["model_input_shape"], saved.get("model_preprocessing")
    backbone = None
    if is_frozen(hparams) and len(shape) == 1:
        backbone = _checked_backbone(hparams, saved, path)
        shape = (3, hparams["image_size"], hparams["image_size"])
    transform = facts and transforms.plain(facts["image_size"], facts["mean"], facts["std"])
    model = SavedModel(
        algorithm, hparams, shape, saved.get("model_classes"), transform, backbone,
        saved.get("model_step"),
    )  # fmt: skip
    model.hidden_colors = bool(facts and facts.get("hidden_colors"))
    return model.to(where).eval()


def read_saved(path: Path) -> dict[str, Any]:
    """Return what a run saved at ``path``. Raises InputError if it is no saved model."""
    if not path.is_file():
        raise InputError(
            f"there is no saved model {path}: name the folder of a run that is done and was not "
            "given --skip_model_save."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's message advises to load it unsafely
        raise InputError(
            f"{path} cannot be read as a saved model: it is another kind of file."
        ) from None
    except Exception as error:  # of a file that is none of its own torch raises whatever it meets
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{path} cannot be read as a saved model: {reason}") from error
    known = content.keys() if isinstance(content, dict) else set()
    shapes = {"model_input_shape", "model_num_classes", "model_num_domains"}
    missing = {"args", "model_hparams", "model_dict", *shapes} - known
    if missing:
        raise InputError(f"{path} is no saved model: it has no {', '.join(sorted(missing))}.")
    return dict(content)


def build_algorithm(saved: Mapping[str, Any], path: Path, hparams: Hparams) -> Any:
    """Return the algorithm saved in ``path`` with its weights, on the CPU.

    ``hparams`` carry the label counts and the training sets. Raises InputError for an algorithm
    that is unknown or does not fit the weights.
    """
    name = saved["args"]["algorithm"]
    given = Hparams(hparams)
    given |= {k: v for k, v in {"pretrained": False, "weights": ""}.items() if k in hparams}
    given.label_counts, given.train_sets = hparams.label_counts, hparams.train_sets
    given.n_steps = saved["args"].get("steps") or 1  # it matters in training alone
    algorithm = registry.get_algorithm_class(name)(
        tuple(saved["model_input_shape"]), saved["model_num_classes"], saved["model_num_domains"],
        given,
    )  # fmt: skip
    try:
        algorithm.load_state_dict(saved["model_dict"])
    except RuntimeError as error:
        fault = " ".join(line.strip() for line in str(error).splitlines()[1:2])
        raise InputError(f"{path} does not fit {name} as it is now: {fault}") from error
    algorithm.hparams = hparams
    return algorithm


def _checked_backbone(hparams: Hparams, saved: Mapping[str, Any], path: Path) -> nn.Module:
    """Return the frozen network; InputError if its weights are not those that the run had."""
    backbone = frozen_backbone(hparams)
    network = saved.get("model_network")
    if network is None:  # a file of an earlier version: the run's record has it
        first = records.read(path.with_name(RECORDS_FILE))[:1]
        network = first[0].get("network") if first else None
    found = describe_weights(backbone)["digest"]
    wanted = (network or {}).get("digest")
    if network and wanted != found:
        advice = "Install the package versions that the run's out.txt lists, or train again."
        if hparams.get("weights"):
            advice = f"Put that file back at {hparams['weights']}."
        raise InputError(
            f"{path} was trained on features of {network['backbone']} with other weights "
            f"({network['weights']}, {wanted}) than there are now ({found}).\n{advice}"
        )
    return backbone
