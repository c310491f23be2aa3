"""Launch the runs of a grid, watch, plan or clear them: DomainBed's flags, and more."""

from __future__ import annotations

import contextlib
import random
import sys
from argparse import Namespace
from collections.abc import Sequence

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.processes import cores
from ndcl_domainbed.run_folder import DONE, FAILED, JOBS_FILE, STOPPED, WAITING, State
from ndcl_domainbed.sweeping import deleting, manifest, slurm_queue, states, status
from ndcl_domainbed.sweeping.flags import free_args, parse
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.sweeping.launchers import get_launcher
from ndcl_domainbed.sweeping.pace import Pace, kind_of, pace_of
from ndcl_domainbed.sweeping.running import exit_on_sigterm
from ndcl_domainbed.sweeping.slurm_queue import SlurmQueue


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status: 1 if a job of the sweep has failed."""
    options, grids = parse(argv)
    if not grids:
        return show_status(manifest.read_jobs(options.output_dir), options)
    from ndcl_domainbed.sweeping import checking, grid  # torch: only once the flags are right

    checking.check_options(options)
    grids = [checking.fill_in_defaults(item) for item in grids]
    checking.check_grids(grids, free_args(options))
    named = grid.expand(grids, options.output_dir, free_args(options))
    jobs = manifest.keep_known_folders(named, options.output_dir)
    n_known = sum(a != b for a, b in zip(named, jobs, strict=True))
    if n_known:
        print(
            f"{n_known} jobs were launched here with another --data_dir, or another spelling of a "
            "path: they keep their folders. For other data use another --output_dir.",
            file=sys.stderr,
        )
    return COMMANDS[options.command](jobs, options)


def launch(jobs: Sequence[Job], options: Namespace) -> int:
    """Start the jobs that are not done; report those that have failed in the end."""
    from ndcl_domainbed.sweeping import checking, early_stopping

    groups = early_stopping.group_draws(jobs, options)
    checking.check_data_unchanged(jobs)
    launcher = get_launcher(options.command_launcher)
    starts_jobs = getattr(launcher, "STARTS_JOBS", True)
    with contextlib.redirect_stdout(sys.stdout if starts_jobs else sys.stderr):
        found = show(jobs)
        settled = early_stopping.find_settled(groups, found)
        names = {WAITING, STOPPED, FAILED} if options.retries > 0 else {WAITING, STOPPED}
        to_launch = [
            job for job, state in found.items() if job not in settled and state.name in names
        ]
        print(
            "\n".join([f"About to launch {len(to_launch)} jobs.", *early_stopping.describe(groups)])
        )
    if to_launch and (not starts_jobs or confirm(options)):
        if hasattr(launcher, "check"):
            launcher.check(to_launch, options)
        manifest.record_jobs(jobs, options.output_dir)
        random.Random(options.seed).shuffle(to_launch)
        with exit_on_sigterm():
            if hasattr(launcher, "make_slots"):  # the jobs of a cluster compute them there
                checking.prepare_features(to_launch)
            is_over = early_stopping.launch(launcher, to_launch, groups, options)
        if not is_over:
            return 0
        found = status.read_all(jobs)
        print(states.count_line(found.values()))
    return report_failures(found)


def delete_incomplete(jobs: Sequence[Job], options: Namespace) -> int:
    """Delete the folders of jobs that are not done, running, stopped early or in Slurm's queue.

    Raises InputError if Slurm does not show its queue.
    """
    found = show(jobs)
    idle = [job for job, state in found.items() if state.name in (FAILED, WAITING)]
    try:
        unqueued = slurm_queue.select_unqueued(idle)
    except slurm_queue.NoAnswer as error:
        raise InputError(
            f"Slurm does not show its queue, in which jobs may wait: {error}\nTry again later."
        ) from error
    unfinished = [job for job in unqueued if job.folder.exists()]
    print(f"About to delete {len(unfinished)} jobs.")
    if unfinished and confirm(options):
        print(f"Deleted {deleting.delete_all(unfinished)} jobs.")
    return 0


def show_status(jobs: Sequence[Job], options: Namespace) -> int:
    """Show how far the jobs are."""
    if not jobs:
        raise InputError(
            f"{options.output_dir} has no {JOBS_FILE}, in which a launch notes its jobs: "
            "repeat the flags of the launch, such as --datasets and --algorithms."
        )
    if options.watch:
        status.watch(jobs)
    else:
        print("\n".join(status.look(status.read_all(jobs), SlurmQueue())[0]))
    return 0


def plan(jobs: Sequence[Job], options: Namespace) -> int:
    """Print how many jobs and steps there are to do, and how long they will take.

    Raises InputError if no job could be timed.
    """
    from ndcl_domainbed.sweeping import checking, planning

    found = status.read_all(jobs)
    print(states.count_line(found.values()))
    pace = pace_of(found)
    launcher = get_launcher(options.command_launcher)
    make_slots = getattr(launcher, "make_slots", None)  # a cluster's jobs are only timed here
    slots = make_slots(options) if make_slots else [{}] * cores()
    untimed = [job for job in jobs if found[job].name != DONE and not pace.knows(job)]
    if untimed:
        kinds = len({kind_of(job) for job in untimed})
        checking.prepare_features(untimed)
        print(f"Timing {kinds} kinds of jobs, each with two short runs.")
    measured, reasons = planning.measure(untimed, slots) if untimed else (Pace({}), {})
    pace = Pace({**measured.seconds, **pace.seconds})
    at_a_time = len(slots) if make_slots else options.jobs or len(slots)
    print("\n".join(planning.describe(found, pace, reasons, at_a_time)), flush=True)
    if reasons and not pace.seconds:
        raise InputError("no job could be timed, for the reasons above.")
    return 0


COMMANDS = {
    "launch": launch,
    "delete_incomplete": delete_incomplete,
    "status": show_status,
    "plan": plan,
}


def show(jobs: Sequence[Job]) -> dict[Job, State]:
    """Print every job with its state, then the counts; return the states."""
    found = status.read_all(jobs)
    for job, state in found.items():
        print(f"{state.name}: {job.folder} {job.title()}")
    print(states.count_line(found.values()))
    return found


def confirm(options: Namespace) -> bool:
    """Ask whether to continue, unless --skip_confirmation is given.

    Raises InputError if nobody can be asked.
    """
    if options.skip_confirmation:
        return True
    if not sys.stdin.isatty():
        raise InputError(
            "stdin is not a terminal, so nobody can confirm: add --skip_confirmation to continue."
        )
    try:
        answer = input("Are you sure? (y/n) ")
    except EOFError:  # Ctrl-D
        print()
        answer = ""
    if answer.strip().lower().startswith("y"):
        return True
    print("Nothing was done.")
    return False


def report_failures(found: dict[Job, State]) -> int:
    """Print why each failed job failed, and where; return the exit status."""
    failed = {job: state for job, state in found.items() if state.name == FAILED}
    for job, state in failed.items():
        print(f"failed: {job.title()}\n  {state.reason}\n  {job.folder}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    from ndcl_domainbed.scripts.cli import run

    run(main)
