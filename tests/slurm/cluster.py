"""A real Slurm of one node, in a folder of its own, and what its commands say.

Nothing of the system's own Slurm is touched: munge and both daemons run from the folder, on free
ports of this machine, as the user who calls. The node has a feature, and two GPUs that are only
links to /dev/null: Slurm hands them out as it does real ones.
"""

import contextlib
import getpass
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

FEATURE = "onenode"
GPU = "pretended"
"""The type of the node's GPUs."""
GPUS = 2

CONF = """
ClusterName=onenode
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 {node} Feature={feature} Gres=gpu:{gpu}:{gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

Value = TypeVar("Value")


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """Run munge, slurmctld and slurmd from ``folder`` while the block lasts."""
    munged = configure(folder)
    daemons = []
    try:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
            with (folder / f"{command[0]}.out").open("w") as log:
                daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
            time.sleep(1.0)
        wait(lambda: "idle" in output("sinfo", "--noheader", "--format=%T"), "the node is idle")
        yield
    finally:
        subprocess.run(["scancel", "--me"], check=False)
        with contextlib.suppress(TimeoutError):
            wait(lambda: not queue(), "nothing of Slurm's runs any longer", 60)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()


def configure(folder: Path) -> list[str]:
    """Write what the daemons read, and return the command that starts munge."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    values = {
        "host": socket.gethostname().split(".")[0], "ports": free_ports(2),
        "user": getpass.getuser(), "folder": folder, "node": node_description(),
        "feature": FEATURE, "gpu": GPU, "gpus": GPUS,
    }  # fmt: skip
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(**values))
    os.environ["SLURM_CONF"] = str(conf)
    for number in range(GPUS):
        (folder / f"gpu{number}").symlink_to(os.devnull)
    (folder / "gres.conf").write_text(f"Name=gpu Type={GPU} File={folder}/gpu[0-{GPUS - 1}]\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    places = {
        "key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid",
        "log-file": folder / "munge.log", "seed-file": folder / "munge.seed",
    }  # fmt: skip
    return ["munged", "--foreground", *(f"--{name}={path}" for name, path in places.items())]


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def node_description() -> str:
    """Return how many cores there are, as slurmd counts them."""
    answer = subprocess.run(["slurmd", "-C"], capture_output=True, text=True, check=True)
    words = answer.stdout.splitlines()[0].split()
    return " ".join(word for word in words if not word.startswith("NodeName="))


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def queue() -> list[str]:
    """Return the tasks that wait or run, with their states."""
    return output("squeue", "--me", "--noheader", "--array", "--format=%i %T %r").splitlines()


def wait(condition: Callable[[], Value], what: str, seconds: float = 1800) -> Value:
    """Wait until ``condition()`` is true and return its value. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain: {what}")
        time.sleep(0.05)
    say(what)
    return value


def say(what: str) -> None:
    """Print what has happened, and when."""
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)
