"""What a check found: a picture, a table and a caption."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imbalance_splits.whole_files import make_folder, write_whole
from ndcl_domainbed.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PICTURE, TABLE, CAPTION = ".png", ".csv", ".json"
_DPI = 110


@dataclass(frozen=True)
class Findings:
    """What a check found.

    ``caption`` says what ``picture`` shows and how to read it; ``table`` holds the numbers.
    """

    caption: str
    table: pd.DataFrame
    picture: Figure

    def write(self, folder: Path, name: str, made: dict[str, Any]) -> list[Path]:
        """Write ``name``.png, .csv and .json (the caption) into ``folder``; return their paths.

        ``made`` tells from which runs and with which options. Each file appears whole or not at
        all. Raises InputError if one cannot be written.
        """
        about = {"caption": self.caption, "made": {**made, "version": __version__}}
        contents: dict[str, str | bytes] = {
            PICTURE: _render_png(self.picture),
            TABLE: self.table.to_csv(index=False),
            CAPTION: json.dumps(about, indent=1, ensure_ascii=False) + "\n",
        }
        make_folder(folder)
        for suffix, content in contents.items():
            write_whole(folder / f"{name}{suffix}", content)
        return [folder / f"{name}{suffix}" for suffix in contents]


def _render_png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI, metadata={"Software": None})
    return content.getvalue()
