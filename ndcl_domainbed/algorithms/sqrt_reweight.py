"""Re-weighting by the inverse square root of class frequency."""

from __future__ import annotations

import numpy as np

from ndcl_domainbed.algorithms.reweight import ReWeight, inverse_frequencies


class SqrtReWeight(ReWeight):
    """Square-root re-weighting: class weights in proportion to count^(-1/2), in each domain.

    A baseline of Yang, Wang & Katabi, "On Multi-Domain Long-Tailed Recognition, Imbalanced Domain
    Generalization and Beyond", ECCV 2022, arXiv:2203.09513; the square root is that of Mikolov et
    al., "Distributed Representations of Words and Phrases and their Compositionality", NeurIPS
    2013, arXiv:1310.4546, and Mahajan et al., ECCV 2018, arXiv:1805.00932.

    Otherwise as :class:`~ndcl_domainbed.algorithms.reweight.ReWeight`: the weights of a domain sum
    to K, a class that it lacks weighs 0, and there is no hyper-parameter. Raises InputError if
    ``hparams`` carry no label counts.
    """

    def weigh_classes(self, counts: np.ndarray) -> np.ndarray:
        """Return the weights (M, K) of classes with ``counts`` (M, K) training images."""
        return inverse_frequencies(np.sqrt(counts))
