"""A file, and an installed package, of a user's own: an algorithm, a setting and so on."""

ALGORITHM = '''
from typing import ClassVar

from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import Hparam


class Scaled(ERM):
    """ERM whose loss is reported times a factor."""

    HPARAMS: ClassVar[dict[str, Hparam]] = {"scale": Hparam(3.0)}

    def update(self, minibatches, unlabeled=None):
        found = super().update(minibatches, unlabeled)
        return {"scaled": self.hparams["scale"] * found["loss"], **found}
'''

SETTING = '''
from dataclasses import dataclass

from imbalance_splits.settings.base import GeneratedSetting


@dataclass(frozen=True, kw_only=True)
class Thirds(GeneratedSetting):
    """A part of every class."""

    parts: int = 3

    def train_counts(self, usable):
        return {
            target: {
                source: {name: images // self.parts for name, images in row.items()}
                for source, row in usable.items() if source != target
            }
            for target in usable
        }
'''

DATASET = '''
from ndcl_domainbed.testbed.datasets.debug import RandomImages


class Noise(RandomImages):
    """Random images of four domains."""

    ENVIRONMENTS = ["n", "e", "s", "w"]
    IMAGE_SIZE = 28
    HPARAMS_LIKE = "DigitsDG"
'''

LAUNCHER = """
STARTS_JOBS = False


def add_flags(group):
    group.add_argument("--shout_word", metavar="WORD", default="job", help="printed first")


def launch(jobs, options):
    for job in jobs:
        print(options.shout_word, *job.command())
    return False
"""

DIAGNOSTIC = """
from ndcl_domainbed.diagnostics import Findings


def diagnose(request):
    return Findings("nothing", None, None)
"""

EVERYTHING = f'"""Shouts commands."""\n{ALGORITHM}{SETTING}{DATASET}{LAUNCHER}{DIAGNOSTIC}'


def write_package(folder, groups, **modules):
    """Write an installed package ``mine``: its modules and what it announces as entry points.

    ``groups`` maps a kind, such as 'settings', to the value of an entry point.
    """
    (folder / "mine").mkdir(parents=True)
    for name, text in {"__init__": "", **modules}.items():
        (folder / "mine" / f"{name}.py").write_text(text)
    lines = [f"[ndcl_domainbed.{kind}]\nx = {value}\n" for kind, value in groups.items()]
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder
