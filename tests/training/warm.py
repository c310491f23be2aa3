"""Imports what a run imports, for processes that are then forked."""

import torch._dynamo  # optimizers import it at their first step
import torch.utils.data
import torchvision.transforms  # noqa: F401

from ndcl_domainbed import registry
from ndcl_domainbed.scripts import train  # noqa: F401
from ndcl_domainbed.training import run  # noqa: F401

torch.set_num_threads(1)
registry.algorithm_names()
