"""What every multi-domain dataset of the testbed offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from imbalance_splits.errors import InputError
from imbalance_splits.published import check_domains

if TYPE_CHECKING:
    import numpy as np

    Pixels = tuple[np.ndarray, np.ndarray]


class MultiDomainDataset:
    """One torch dataset per domain, in the order of ``ENVIRONMENTS``.

    A subclass names its domains in ``ENVIRONMENTS`` and fills the instance attributes in its
    constructor. Its module does not import torch: that waits until a dataset is constructed.
    """

    ENVIRONMENTS: ClassVar[list[str]] = []
    """Domain names in index order; a class that leaves it empty is not registered."""

    N_STEPS: ClassVar[int] = 5001
    CHECKPOINT_FREQ: ClassVar[int] = 100
    N_WORKERS: ClassVar[int] = 8

    IMAGE_SIZE: ClassVar[int] = 224
    """Height and width of the images that the constructor delivers by default."""

    RESIZES: ClassVar[bool] = False
    """Whether the constructor delivers images of any size, hparams['image_size']."""

    HPARAMS_LIKE: ClassVar[str | None] = None
    """The named dataset whose hyper-parameters this one uses; None for its own."""

    FIXED_SPLIT: ClassVar[list[list[str]] | None] = None
    """The part of each image of each domain, 'train', 'val' or 'test'; None: splits are drawn."""

    feature_info: dict[str, Any] | None = None
    """Which frozen features the dataset holds; None if it holds images."""

    input_shape: tuple[int, ...]
    """Channels, height, width; the length alone of frozen features."""

    num_classes: int
    classes: list[str]
    """Class names; the label of a class is its index."""

    preprocessing: dict[str, Any] | None = None
    """How a plain image becomes an input, if that is known: see :func:`preprocessing`."""

    datasets: list[Any]
    """One torch dataset per domain; each has ``targets``, its labels in order."""

    def __init__(self, root: str, test_envs: Sequence[int], hparams: Mapping[str, Any]) -> None:
        """Find the images.

        ``root`` is the data directory, ``test_envs`` the indices of the domains that get plain
        transforms; the others are augmented if ``hparams['data_augmentation']`` is true. The
        images have ``hparams['image_size']`` pixels a side, :attr:`IMAGE_SIZE` if that is not
        there. Raises InputError if a test domain does not exist, and for a size that a dataset
        which cannot resize its images does not have.
        """
        check_domains(test_envs, type(self).__name__, self.ENVIRONMENTS)
        size = int(hparams.get("image_size", self.IMAGE_SIZE))
        if size != self.IMAGE_SIZE and not self.RESIZES:
            raise InputError(
                f"the images of {type(self).__name__} have {self.IMAGE_SIZE}×{self.IMAGE_SIZE} "
                f"pixels and are not resized: leave out the hyper-parameter image_size ({size})."
            )
        self.input_shape = (3, size, size)

    def __getitem__(self, index: int) -> Any:
        """Return the torch dataset of one domain."""
        return self.datasets[index]

    def __len__(self) -> int:
        """Return the number of domains."""
        return len(self.datasets)

    @classmethod
    def pixels(cls, root: str) -> tuple[list[str], dict[str, Pixels]]:
        """Return the class names, and by domain the images (n, H, W, 3) uint8 and labels (n,).

        Raises InputError for a dataset that is not made by this package.
        """
        raise InputError(f"{cls.__name__} is not made by this package: nothing can be exported.")


def preprocessing(
    size: int, mean: Sequence[float], std: Sequence[float], *, hidden_colors: bool = False
) -> dict[str, Any]:
    """Return what a saved model says of its inputs: RGB images, resized and normalized.

    ``size`` is height and width in pixels; ``mean`` and ``std`` are those of the channels, for
    values in [0, 1]; ``hidden_colors`` says that transparent pixels show theirs.
    """
    facts = {"image_size": int(size), "mean": list(mean), "std": list(std)}
    return {**facts, "hidden_colors": hidden_colors}


SCALED_TO_ONE = ((0.5,) * 3, (0.5,) * 3)
"""Mean and standard deviation of small images, which are scaled to [-1, 1]."""
