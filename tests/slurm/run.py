"""Sweeps on a real Slurm of one node, which this script starts and stops. Run by hand:

    apt-get install slurm-wlm munge
    pip install 'ndcl-domainbed[slurm]'
    python -m tests.slurm.run

In the end every job must be done exactly once, with the records of a sweep without Slurm that
nothing disturbed. It takes some seven minutes, most of which are Slurm's; on a busy machine, where
a job takes more than a minute to start, ``--minutes`` must be more.
"""

import argparse
import tempfile
from pathlib import Path

from ndcl_domainbed.processes import cores
from ndcl_domainbed.sweeping.launchers.slurm import MIN_MINUTES
from tests.slurm import preemption, tasks, time_out
from tests.slurm.cluster import output, say, slurm


def main() -> None:
    """Run it all in a temporary folder, whose name is printed if something fails."""
    parser = argparse.ArgumentParser(description="Sweeps on a real Slurm of one node.")
    add = parser.add_argument
    add("--minutes", type=int, default=MIN_MINUTES,
        help="the time of the tasks that run out of it (default: the least)")  # fmt: skip
    minutes = parser.parse_args().minutes
    folder = Path(tempfile.mkdtemp(prefix="one-node-slurm-"))
    folder.chmod(0o755)
    print(f"{output('slurmctld', '-V').strip()}; logs are in {folder}")
    reference = folder / "reference"
    tasks.launch(reference, "--jobs", str(cores()))  # a thread for each job, as in Slurm
    say("the sweep has run without Slurm")
    with slurm(folder):
        preemption.run(folder / "preemption", reference)
        time_out.run(folder / "time_out", reference, minutes)
    print("every job was done exactly once, and is as if nothing had happened")


if __name__ == "__main__":
    main()
