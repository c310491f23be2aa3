"""A job that tells what it imports. Nothing else is imported here: it would be there already."""

import json
import os
import sys


def train(path, flags):
    """Train, and write the threads, whether CUDA is initialized, and the modules that came late."""
    before = set(sys.modules)
    torch = sys.modules["torch"]
    state = [torch.get_num_threads(), torch.cuda.is_initialized()]
    from ndcl_domainbed.scripts import train

    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    train.main(flags)
    path.write_text(json.dumps([*state, sorted(set(sys.modules) - before)]))
