"""The records of many files as columns: gathered, put together, written and read as one file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import orjson

from ndcl_domainbed.results.folders import RunFile
from ndcl_domainbed.results.parsing import ParsedFile, parse

_COLUMN = "column:"


def _integers(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=np.int64)


@dataclass
class Store:
    """The content of some files: arrays by file, by run, by record.

    By file: ``folders``, ``keys`` (F, 3: size, mtime_ns, inode), ``bad_lines`` (F). By run, in
    the order of the files: ``run_files`` (R, the number of its file), ``metas`` (JSON),
    ``run_rows`` (R, how many records). By record, in the order of the runs: ``columns``, float64.
    """

    folders: list[str] = field(default_factory=list)
    keys: np.ndarray = field(default_factory=lambda: _integers(0, 3))
    bad_lines: np.ndarray = field(default_factory=lambda: _integers(0))
    run_files: np.ndarray = field(default_factory=lambda: _integers(0))
    metas: list[bytes] = field(default_factory=list)
    run_rows: np.ndarray = field(default_factory=lambda: _integers(0))
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def n_records(self) -> int:
        """How many records there are."""
        return int(self.run_rows.sum())

    @staticmethod
    def joined(parts: Sequence[Store]) -> Store:
        """Return one store with the files of all ``parts``, in their order."""
        parts = [part for part in parts if part.folders]
        if len(parts) < 2:
            return parts[0] if parts else Store()
        before = np.cumsum([0, *(len(part.folders) for part in parts)])
        names = dict.fromkeys(name for part in parts for name in part.columns)
        return Store(
            folders=[folder for part in parts for folder in part.folders],
            keys=np.concatenate([part.keys for part in parts]),
            bad_lines=np.concatenate([part.bad_lines for part in parts]),
            run_files=np.concatenate(
                [part.run_files + n for part, n in zip(parts, before, strict=False)]
            ),
            metas=[meta for part in parts for meta in part.metas],
            run_rows=np.concatenate([part.run_rows for part in parts]),
            columns={name: np.concatenate([_column(p, name) for p in parts]) for name in names},
        )

    def take(self, files: np.ndarray) -> Store:
        """Return a store of these files (their numbers, none twice), in this order."""
        if np.array_equal(files, np.arange(len(self.folders))):
            return self
        place = np.full(len(self.folders), -1, dtype=np.int64)
        place[files] = np.arange(len(files))
        new = place[self.run_files]
        runs = np.argsort(new, kind="stable")
        runs = runs[new[runs] >= 0]
        starts = np.cumsum(self.run_rows) - self.run_rows
        counts = self.run_rows[runs]
        ends = np.cumsum(counts)
        rows = np.arange(ends[-1] if len(ends) else 0) + np.repeat(
            starts[runs] - (ends - counts), counts
        )
        return Store(
            folders=[self.folders[number] for number in files.tolist()],
            keys=self.keys[files],
            bad_lines=self.bad_lines[files],
            run_files=new[runs],
            metas=[self.metas[number] for number in runs.tolist()],
            run_rows=counts,
            columns={name: values[rows] for name, values in self.columns.items()},
        )

    def write(self, file: IO[bytes], header: str = "") -> None:
        """Write everything, and a ``header``, as one NumPy archive without pickles."""
        arrays = {f"{_COLUMN}{name}": values for name, values in self.columns.items()}
        np.savez(
            file,
            header=_text(header.encode()),
            folders=_text(orjson.dumps(self.folders)),
            metas=_text(b"\n".join(self.metas)),
            keys=self.keys,
            bad_lines=self.bad_lines,
            run_files=self.run_files,
            run_rows=self.run_rows,
            **arrays,  # type: ignore[arg-type]
        )

    @staticmethod
    def read(file: IO[bytes] | str | Path, header: str = "") -> Store | None:
        """Return what was written; None if it is damaged or has another ``header``."""
        try:
            with np.load(file, allow_pickle=False) as archive:
                if archive["header"].tobytes() != header.encode():
                    return None
                metas = archive["metas"].tobytes()
                store = Store(
                    folders=orjson.loads(archive["folders"].tobytes()),
                    keys=archive["keys"],
                    bad_lines=archive["bad_lines"],
                    run_files=archive["run_files"],
                    metas=metas.split(b"\n") if metas else [],
                    run_rows=archive["run_rows"],
                    columns={
                        name.removeprefix(_COLUMN): archive[name]
                        for name in archive.files
                        if name.startswith(_COLUMN)
                    },
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return store if store._is_consistent() else None

    def _is_consistent(self) -> bool:
        n_files, n_runs, n_records = len(self.folders), len(self.run_rows), self.n_records
        return (
            self.keys.shape == (n_files, 3)
            and self.bad_lines.shape == (n_files,)
            and self.run_files.shape == (n_runs,)
            and len(self.metas) == n_runs
            and all(values.shape == (n_records,) for values in self.columns.values())
        )


def parsed_store(files: Iterable[RunFile]) -> Store:
    """Read and parse ``files``."""
    folders, keys, bad_lines = [], [], []
    run_files, metas, run_rows = [], [], []
    blocks: list[tuple[tuple[str, ...], np.ndarray]] = []
    for number, file in enumerate(files):
        try:
            parsed = parse(Path(file.path).read_bytes())
        except OSError:  # gone or locked since it was listed: as if it had no records
            parsed = ParsedFile()
        folders.append(file.folder)
        keys.append(file.key)
        bad_lines.append(parsed.bad_lines)
        for run in parsed.runs:
            run_files.append(number)
            metas.append(orjson.dumps(run.meta))
            run_rows.append(len(run.values))
            blocks.append((run.columns, run.values))
    return Store(
        folders=folders,
        keys=np.array(keys, dtype=np.int64).reshape(-1, 3),
        bad_lines=np.array(bad_lines, dtype=np.int64),
        run_files=np.array(run_files, dtype=np.int64),
        metas=metas,
        run_rows=np.array(run_rows, dtype=np.int64),
        columns=_as_columns(blocks, sum(run_rows)),
    )


def _as_columns(
    blocks: Sequence[tuple[tuple[str, ...], np.ndarray]], rows: int
) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    at = 0
    for names, values in blocks:
        for number, name in enumerate(names):
            if name not in columns:
                columns[name] = np.full(rows, np.nan)
            columns[name][at : at + len(values)] = values[:, number]
        at += len(values)
    return columns


def _column(part: Store, name: str) -> np.ndarray:
    return part.columns[name] if name in part.columns else np.full(part.n_records, np.nan)


def _text(text: bytes) -> np.ndarray:
    return np.frombuffer(text, dtype=np.uint8)
