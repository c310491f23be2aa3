"""What a check is asked (:class:`Request`), what it answers (:class:`Findings`), and the page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import make_folder, write_whole
from ndcl_domainbed.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FIGURE, TABLE, CAPTION = ".png", ".csv", ".json"
_DPI = 110
PAGE_FILE = "index.html"
_MAX_ROWS = 400  # rows of a table on the page; the CSV file has all


@dataclass(frozen=True)
class Request:
    """The runs to look at, and how.

    ``run`` is the folder of the run (of a sweep, for a check that compares many); those in
    ``compare`` are shown beside it. ``data_dir`` replaces the folder that the runs read their
    images from. ``seed`` seeds everything that is drawn. ``images`` is how many images of a split
    a costly check looks at, at most; ``device`` None means the best there is.

    Raises InputError for a seed that NumPy does not take, and if ``images`` is not positive.
    """

    run: Path
    compare: tuple[Path, ...] = ()
    data_dir: str | None = None
    device: str | None = None
    seed: int = 0
    images: int = 500

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed must be from 0 to {2**32 - 1}; got {self.seed}")
        if self.images < 1:
            raise InputError(f"--images must be at least 1; got {self.images}")

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folder of the run, and after it those to compare it with."""
        return (self.run, *self.compare)


@dataclass(frozen=True)
class Findings:
    """What a check found.

    ``caption`` says what ``figure`` shows and how to read it; ``table`` holds the numbers.
    """

    caption: str
    table: pd.DataFrame
    figure: Figure

    def write(self, folder: Path, name: str, request: Request) -> list[Path]:
        """Write ``name``.png, .csv and .json (the caption) into ``folder``; return their paths.

        Each file appears whole or not at all. Raises InputError if one cannot be written.
        """
        png = io.BytesIO()
        self.figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
        made = {
            "runs": [str(folder) for folder in request.folders],
            "seed": request.seed,
            "images": request.images,
            "version": __version__,
        }
        about = {"caption": self.caption, "made": made}
        contents: dict[str, str | bytes] = {
            FIGURE: png.getvalue(),
            TABLE: self.table.to_csv(index=False),
            CAPTION: json.dumps(about, indent=1, ensure_ascii=False) + "\n",
        }
        make_folder(folder)
        for suffix, content in contents.items():
            write_whole(folder / f"{name}{suffix}", content)
        return [folder / f"{name}{suffix}" for suffix in contents]


def require_packages() -> None:
    """Raise InputError if a package that figures, probes or the page need is missing."""
    for module, package in {
        "matplotlib": "matplotlib", "sklearn": "scikit-learn", "jinja2": "jinja2"
    }.items():  # fmt: skip
        if find_spec(module) is None:
            raise InputError(f"diagnose needs {package}: pip install 'ndcl-domainbed[diagnose]'")


def write_page(folder: Path, names: Iterable[str]) -> Path:
    """Write one page of the findings ``names`` that are in ``folder``; return its path."""
    from jinja2 import Environment

    source = resources.files("ndcl_domainbed.diagnostics") / "templates" / "page.html"
    template = Environment(autoescape=True).from_string(source.read_text(encoding="utf-8"))
    there = [name for name in names if (folder / f"{name}{CAPTION}").exists()]
    path = folder / PAGE_FILE
    write_whole(path, template.render(sections=[_read_section(folder, name) for name in there]))
    return path


def _read_section(folder: Path, name: str) -> dict[str, Any]:
    import pandas as pd

    try:
        about = json.loads((folder / f"{name}{CAPTION}").read_text(encoding="utf-8"))
        table = pd.read_csv(folder / f"{name}{TABLE}")
        return {
            "name": name,
            "caption": about["caption"],
            "made": about["made"],
            "figure": base64.b64encode((folder / f"{name}{FIGURE}").read_bytes()).decode(),
            "table": table.head(_MAX_ROWS).to_html(
                index=False, border=0, na_rep="", float_format="{:.4g}".format
            ),
            "more": max(0, len(table) - _MAX_ROWS),
            "file": f"{name}{TABLE}",
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / name}.*: damaged ({error}); run diagnose {name} again."
        ) from error
