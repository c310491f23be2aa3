"""A sweep on a real Slurm of one node, which this script starts and stops. Run by hand:

    apt-get install slurm-wlm munge
    pip install 'ndcl-domainbed[slurm]'
    python -m tests.slurm.run

Nothing of the system's own Slurm is touched: munge and both daemons run from a temporary folder,
on free ports of this machine, as the user who calls. One task is preempted as a cluster does it
(signal USR2), one is requeued by force, and the process of one job is killed; in the end every job
must be done exactly once. Slurm lets a requeued task wait for two minutes, so it takes some five.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ndcl_domainbed.sweeping import claims
from tests.sweeping import sweeps

STEPS, CHECKPOINT_FREQ = 1500, 50

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
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 {node} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


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


@contextlib.contextmanager
def slurm(folder: Path):
    """Run munge, slurmctld and slurmd from ``folder`` while the block lasts."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    values = {
        "host": socket.gethostname().split(".")[0], "ports": free_ports(2),
        "user": getpass.getuser(), "folder": folder, "node": node_description(),
    }  # fmt: skip
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(**values))
    os.environ["SLURM_CONF"] = str(conf)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    places = {
        "key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid",
        "log-file": folder / "munge.log", "seed-file": folder / "munge.seed",
    }  # fmt: skip
    munged = ["munged", "--foreground", *(f"--{name}={path}" for name, path in places.items())]
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
        time.sleep(2.0)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def wait(condition, what: str, seconds: float = 600):
    """Wait until ``condition()`` is true and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"waited in vain: {what}")
        time.sleep(0.2)
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)
    return value


def launch(folder: Path) -> str:
    """Launch the sweep and return what it printed."""
    flags = ["--command_launcher", "slurm", "--slurm_partition", "main", "--slurm_time", "1:00:00",
             "--slurm_mem", "100M", "--slurm_cpus", "1", "--jobs", "2", "--n_trials", "1",
             "--steps", str(STEPS), "--checkpoint_freq", str(CHECKPOINT_FREQ)]  # fmt: skip
    process = sweeps.start("launch", folder, *flags)
    out, err = process.communicate(timeout=120)
    if process.returncode != 0:
        raise SystemExit(f"launch failed:\n{out}\n{err}")
    return out


def two_running(folder: Path):
    """Return the claims of the two jobs that run, once there are two."""
    found = sweeps.running(folder) if folder.exists() else []
    return found if len(found) == 2 else None


def again(claim: claims.Claim):
    """Return the claim of a later attempt at the same job that runs."""
    latest = claims.latest(claim.path.parent)
    runs = latest and latest.owner and latest.owner.runs_here()
    return latest if runs and latest.number > claim.number else None


def task_of(claim: claims.Claim) -> int:
    """Return submitit's process, which started the process that started the job."""
    return sweeps.parent(sweeps.parent(claim.owner.pid))


def slurm_id(pid: int) -> str:
    """Return the Slurm job that a process belongs to."""
    for item in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if item.startswith(b"SLURM_JOB_ID="):
            return item.partition(b"=")[2].decode()
    raise SystemExit(f"process {pid} is no Slurm task")


def run_sweep(folder: Path) -> None:
    """Launch, disturb, wait, and check every job."""
    print(launch(folder).splitlines()[-2])
    first, second = wait(lambda: two_running(folder), "two jobs run")
    assert "About to launch 1 jobs." in (again_out := launch(folder)), again_out
    assert "All of them are in Slurm's queue already." in again_out, again_out
    os.kill(first.owner.pid, signal.SIGKILL)
    first = wait(lambda: again(first), "the job that was killed goes on in the same task")
    jobs = [slurm_id(task_of(claim)) for claim in (first, second)]
    subprocess.run(["scancel", "--signal=USR2", jobs[0]], check=True)
    wait(lambda: claims.latest(first.path.parent).end, "the preempted job has stopped")
    subprocess.run(["scontrol", "requeue", jobs[1]], check=True)
    wait(lambda: not second.owner.runs_here(), "the requeued job has stopped")
    wait(lambda: again(first), "the preempted job goes on")
    wait(lambda: again(second), "the requeued job goes on")
    wait(lambda: not output("squeue", "--me", "--noheader"), "the queue is empty")
    folders = [path for path in sweeps.job_folders(folder) if path.name != "slurm"]
    assert len(folders) == 3, folders
    for path in folders:
        sweeps.assert_done_once(path, STEPS, CHECKPOINT_FREQ)
        ends = [claim.end and claim.end.outcome for claim in claims.all_claims(path)]
        print(f"{path.name}: {' -> '.join(str(end) for end in ends)}")


def main() -> None:
    """Run it all in a temporary folder, whose name is printed if something fails."""
    folder = Path(tempfile.mkdtemp(prefix="one-node-slurm-"))
    folder.chmod(0o755)
    print(f"logs are in {folder}")
    with slurm(folder):
        run_sweep(folder / "sweep")
    print("every job was done exactly once")


if __name__ == "__main__":
    sys.exit(main())
