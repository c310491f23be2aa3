"""Class-balanced sampling."""

from __future__ import annotations

from typing import ClassVar

from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import Hparam


class ReSample(ERM):
    """Re-sampling: the cross-entropy of minibatches that draw each class equally often.

    Shen, Lin & Huang, "Relay Backpropagation for Effective Learning of Deep Convolutional Neural
    Networks", ECCV 2016, arXiv:1512.05830 (class-aware sampling); as Kang et al., "Decoupling
    Representation and Classifier for Long-Tailed Recognition", ICLR 2020, arXiv:1910.09217, Eq. 1
    with q = 0.

    ==================  =======  ===========================================================
    hparam              default  meaning
    ==================  =======  ===========================================================
    ``class_balanced``  True     the shared hyper-parameter; False for all other algorithms
                                 but TALLY
    ==================  =======  ===========================================================

    The minibatch of a domain draws a class first, each class that the domain has as likely as the
    others, then one of its images, with replacement. The loss is ERM's.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {"class_balanced": Hparam(True)}
