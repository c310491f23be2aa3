"""Starts one training run over and over, and kills it each time, before it lets it end.

Called as a program: ALGORITHM OUTPUT_DIR KILLS SEED. Each attempt is a process of its own, forked
from this one, which has torch imported already. It is killed with SIGKILL a random moment after
it has written a new record, so that every attempt gets on, and stops somewhere else.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.loop import train

STEPS = 90
CHECKPOINT_FREQ = 4


def attempt(algorithm: str, output_dir: str) -> int:
    """Start the run in a process of its own and return its id."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        train(
            TrainArguments(
                dataset="Debug28", algorithm=algorithm, output_dir=output_dir, steps=STEPS,
                checkpoint_freq=CHECKPOINT_FREQ, test_envs=[0], seed=7,
                hparams='{"backbone": "small_cnn", "batch_size": 6, "resnet_dropout": 0.1}',
            )
        )  # fmt: skip
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait_for_a_record(process: int, records: Path) -> None:
    """Return when the run has written one record more, or has ended."""
    size = records.stat().st_size if records.exists() else 0
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if records.exists() and records.stat().st_size > size:
            return
        time.sleep(0.001)


def main() -> int:
    """Kill the run as often as asked, then let it end; return its exit status."""
    algorithm, output_dir, kills, seed = sys.argv[1:]
    torch.set_num_threads(1)
    delays = random.Random(int(seed))
    for _ in range(int(kills)):
        process = attempt(algorithm, output_dir)
        wait_for_a_record(process, Path(output_dir) / "results.jsonl")
        time.sleep(delays.uniform(0.0, 0.03))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    _, status = os.waitpid(attempt(algorithm, output_dir), 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
