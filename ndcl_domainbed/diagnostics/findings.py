"""What a diagnostic found: a picture, a table, and what they say in words."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imbalance_splits.whole_files import make_folder, write_whole
from ndcl_domainbed.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PICTURE, TABLE, WORDS = ".png", ".csv", ".json"
_DPI = 110


@dataclass(frozen=True)
class Findings:
    """What a diagnostic found.

    ``claim`` is the claim that was looked at, ``sentences`` what was found, in plain words with
    figures; ``caveats`` what the figures do not show (what is estimated, how few samples there
    are). ``table`` holds what the picture shows.
    """

    claim: str
    sentences: Sequence[str]
    table: pd.DataFrame
    picture: Figure
    caveats: Sequence[str] = ()

    def write(self, folder: Path, name: str, made: dict[str, Any]) -> list[Path]:
        """Write ``name``.png, .csv and .json into ``folder``; return their paths.

        ``made`` says how: the runs and the command. Each file appears whole or not at all. Raises
        InputError if one cannot be written.
        """
        words = {
            "claim": self.claim,
            "found": list(self.sentences),
            "caveats": list(self.caveats),
            "made": {**made, "version": __version__},
        }
        contents: dict[str, str | bytes] = {
            PICTURE: _drawn(self.picture),
            TABLE: self.table.to_csv(index=False),
            WORDS: json.dumps(words, indent=1, ensure_ascii=False) + "\n",
        }
        make_folder(folder)
        for suffix, content in contents.items():
            write_whole(folder / f"{name}{suffix}", content)
        return [folder / f"{name}{suffix}" for suffix in contents]


def _drawn(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI, metadata={"Software": None})
    return content.getvalue()
