"""The networks of the embedded testbed: featurizers, classifiers and the MLP.

The names, the constructors' arguments and the names in the state dicts are DomainBed's, so its
checkpoints load here.
"""

from __future__ import annotations

from ndcl_domainbed.testbed.networks.featurizer import Classifier, Featurizer, choose_backbone
from ndcl_domainbed.testbed.networks.normalization import normalization_of
from ndcl_domainbed.testbed.networks.residual import ResNet
from ndcl_domainbed.testbed.networks.small import MLP, MNIST_CNN, Adapter, SmallCNN
from ndcl_domainbed.testbed.networks.timm_backbone import TimmBackbone
from ndcl_domainbed.testbed.networks.weights import describe_weights
from ndcl_domainbed.testbed.networks.wide_resnet import WideResNet

__all__ = [
    "MLP",
    "MNIST_CNN",
    "Adapter",
    "Classifier",
    "Featurizer",
    "ResNet",
    "SmallCNN",
    "TimmBackbone",
    "WideResNet",
    "choose_backbone",
    "describe_weights",
    "normalization_of",
]
