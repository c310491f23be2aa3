"""The pages of the guide, the commands in them, and which of these cannot be run by a test."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
FILE = re.compile(r"`([\w/]+\.py)`:\n\n```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
OURS = re.compile(r"^(?:ndcl-domainbed|python -m ndcl_domainbed\.scripts\.)\s*([\w-]+)(.*)$")

NOT_RUN = (
    ("make ", "it sets up an environment; what it starts is parsed"),
    ("git clone ", "the repository is here"),
    ("pip install ", "it changes the environment; the extras are looked up"),
    ("cd ", "a place on the reader's machine"),
    ("export ", "a place on the reader's machine"),
    ("python -m ndcl_domainbed.attach ", "needs DomainBed: tests/domainbed runs its like"),
    ("DOMAINBED_HOME=", "needs DomainBed"),
    ("python -m benchmarks.", "a measurement of minutes"),
    ("ndcl-domainbed download ", "needs the network: tests/downloading has a server of its own"),
    ("ndcl-domainbed train --data_dir data --dataset PACS", "needs PACS"),
    ("ndcl-domainbed train --dataset PACS", "needs PACS"),
    ("ndcl-domainbed splits verify PACS", "needs PACS"),
    ("ndcl-domainbed sweep plan ", "times every kind of job: tests/sweeping/test_planning.py"),
    (
        "ndcl-domainbed sweep launch --data_dir data --output_dir sweep --algorithms NDCL My",
        "needs DomainBed, and an algorithm of the reader's",
    ),
    (
        "ndcl-domainbed sweep launch --sweep sweeps/paper.yaml ",
        "takes days, and a cluster or a GPU",
    ),
    ("ndcl-domainbed sweep launch --own_code docs/beyond/", "hundreds of runs, and PACS"),
    ("ndcl-domainbed train --own_code docs/beyond/", "needs PACS"),
    ("ndcl-domainbed sweep launch --sweep docs/beyond/", "hundreds of runs, and PACS"),
    ("python docs/beyond_tables.py ", "needs their runs"),
    ("ndcl-domainbed sweep launch --own_code docs/semi_supervised/", "216 runs, and PACS"),
    ("python docs/semi_tables.py ", "needs their runs"),
    ("ndcl-domainbed sweep launch --sweep sweeps/ablation.yaml ", "needs PACS"),
    ("ndcl-domainbed sweep launch --sweep sweeps/extended.yaml ", "needs PACS"),
    ("ndcl-domainbed sweep launch --sweep sweeps/photographs.yaml ", "needs PACS and Office-31"),
    ("ndcl-domainbed sweep launch --sweep sweeps/comparison.yaml ", "needs PACS and Office-31"),
    ("ndcl-domainbed sweep launch --sweep sweeps/variants.yaml ", "needs PACS and Office-31"),
    ("ndcl-domainbed sweep launch --sweep sweeps/fine_tuned.yaml ", "needs PACS, and hours"),
    ("ndcl-domainbed sweep launch --sweep sweeps/vit.yaml ", "needs the three datasets"),
    ("ndcl-domainbed collect_results --input_dir photographs ", "needs the sweep of photographs"),
    (
        "ndcl-domainbed export_dataset DigitsDG --data_dir data --output digits_jpeg ",
        "9,297 files: tests/testbed/test_digits_dg.py does it",
    ),
    (
        "ndcl-domainbed train --dataset digits ",
        "decodes 9,297 files: tests/testbed/test_digits_dg.py compares their pixels",
    ),
    ("python docs/make_results.py", "needs the sweep: tests/docs/test_results_page.py"),
    ("python docs/rerun_results.py", "three whole runs: tests/docs/test_results_page.py makes one"),
    ("ndcl-domainbed diagnose all ", "the same as each, at once: tests/diagnostics"),
    ("ndcl-domainbed diagnose contrast ", "needs the ablation: tests/diagnostics"),
    ("ndcl-domainbed diagnose confidence ", "takes a minute: tests/diagnostics"),
    ("ndcl-domainbed diagnose hard-negatives ", "takes a minute: tests/diagnostics"),
)
"""How the commands that are only parsed begin, and why; what has no flags to parse is let be."""

SHORTENED = (
    (
        "ndcl-domainbed train --dataset DigitsDG --imbalance TotalHeavyTail --algorithm NDCL "
        "--test_envs 0 --steps 101",
        "--steps 3 --eval_images 60",
    ),
    (
        "ndcl-domainbed train --dataset DigitsDG --imbalance TotalHeavyTail --test_envs 0 --diag",
        "--steps 3 --eval_images 60",
    ),
    ("ndcl-domainbed diagnose ", "--images 30"),
    (
        "ndcl-domainbed train --dataset faces --imbalance TotalHeavyTail --algorithm NDCL "
        '--test_envs 0 --hparams \'{"frozen"',
        "--steps 3 --eval_images 60",
    ),
    (
        "ndcl-domainbed sweep launch --sweep sweeps/digits.yaml ",
        "--algorithms ERM --imbalance Cross --n_trials 1 --steps 1 --test_envs 0 "
        "--skip_confirmation",
    ),
    ("ndcl-domainbed sweep launch --algorithms NDCL ERM --datasets DigitsDG ", "--test_envs 0"),
    ("ndcl-domainbed sweep launch --own_code logit_adjustment.py ", "--test_envs 0"),
    ("ndcl-domainbed train --own_code logit_adjustment.py ", "--eval_images 60"),
    ("ndcl-domainbed train --own_code smoothed.py ", "--eval_images 60"),
)
"""How commands begin that take long as they stand, and the flags with which a test runs them."""


class Command(NamedTuple):
    """One line of a shell block, continued lines joined, without its comment."""

    page: str
    line: str

    @property
    def why_not_run(self) -> str:
        """The reason why it is only parsed; empty if it is run."""
        return next((why for start, why in NOT_RUN if self.line.startswith(start)), "")

    @property
    def ours(self) -> tuple[str, list[str]] | None:
        """The sub-command of ``ndcl-domainbed`` and its arguments; None for other programs."""
        match = OURS.match(self.line)
        return (match[1], shlex.split(match[2])) if match else None

    def shortened(self) -> "Command":
        """Return the command as a test runs it."""
        more = next((flags for start, flags in SHORTENED if self.line.startswith(start)), "")
        return self._replace(line=f"{self.line} {more}".rstrip())


class Step(NamedTuple):
    """The commands of a shell block, and what the last one prints if the page shows it."""

    commands: list[Command]
    printed: str | None


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return (language, text) of every fenced block of a page."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def files(page: Path) -> dict[str, str]:
    """Return the content of every Python file that a page has the reader write, by its name."""
    return dict(FILE.findall(page.read_text(encoding="utf-8")))


def steps(page: Path) -> list[Step]:
    """Return the shell blocks of a page; a ``text`` block right after one is its output."""
    found: list[Step] = []
    fences = list(FENCE.finditer(page.read_text(encoding="utf-8")))
    for fence, after in zip(fences, [*fences, None][1:], strict=True):
        if fence[1] not in ("sh", "bash"):
            continue
        gap = after.string[fence.end() : after.start()] if after else "-"
        shown = after[2] if after and after[1] == "text" and not gap.strip() else None
        lines = [without_comment(line) for line in fence[2].replace("\\\n", " ").splitlines()]
        found.append(Step([Command(page.name, line) for line in lines if line], shown))
    return found


def without_comment(line: str) -> str:
    """Return a line of shell with single blanks, without its comment."""
    return " ".join(line.split(" #")[0].split())


def all_commands() -> list[Command]:
    """Return the commands of all pages."""
    return [command for page in PAGES for step in steps(page) for command in step.commands]
