"""A plain table of recordings: the way to use any folder of audio of your own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_build.records import Clip, Origin
from data_build.sources.audio_refs import audio_file, written_path
from data_build.sources.fields import clip_of, names_of, span_of
from data_build.sources.json_stream import documents
from data_build.sources.rows import Row, csv_rows, tsv_rows, usable
from data_build.sources.source import AS_STATED, Corpus, Report, SourceConfig, WorkerShard
from data_build.sources.text_files import parquet_rows
from soundflow.errors import UserError

MANIFEST_TREE = "manifest.jsonl, manifest.csv or manifest.tsv with at least a column path"
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_USUAL = (
    "manifest.jsonl", "manifest.json", "manifest.csv", "manifest.tsv", "manifest.parquet",
    "metadata.jsonl", "metadata.csv",
)  # fmt: skip


def manifest(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """JSON lines, CSV, TSV or Parquet; only ``path`` is needed::

        {"path": "a/b.wav", "text": "...", "label": "...", "language": "en", "speaker": "...",
         "start": 0.0, "end": 2.5, "kind": "speech", "licence": "...", "attribution": "..."}

    Paths are relative to the manifest's folder (or ``audio_root``). ``root`` is the manifest or
    its folder. Usual other names are understood (``audio_filepath``, ``offset``, ``duration``
    of NeMo manifests, ``sentence``, ...), and ``columns`` names any other. Several rows may cut
    one file; word times go under ``words``. Columns that are no field go to ``notes``. ``split``
    keeps the rows whose column ``split`` says so. A unit of work is a row.
    """
    table = _table(config)
    base = Path(config.audio_root).expanduser() if config.audio_root else table.parent
    origin = Origin(table.parent.name or "manifest", config.licence or "not stated")
    rows = _rows(table, report, part)
    chosen = (r for r in rows if config.split is None or r.data.get("split") == config.split)

    def make(row: Row) -> Clip:
        written = row.text(*names_of(config, "path"))
        start_s, end_s, length_s = span_of(config, row)
        cut = f"#{start_s:g}" if start_s or end_s is not None else ""
        audio = audio_file(written_path(written, base), start_s, end_s)
        return clip_of(config, row, audio, f"{written}{cut}", origin, length_s)

    yield from usable(chosen, make, report)


def _rows(table: Path, report: Report, part: WorkerShard) -> Iterator[Row]:
    suffix = Path(table.name.lower().removesuffix(".gz")).suffix
    if suffix == ".csv":
        return csv_rows(table, report, part)
    if suffix == ".tsv":
        return (Row(r.where, _unquoted(r.data)) for r in tsv_rows(table, report, part))
    if suffix == ".parquet":
        return parquet_rows(table, report, part)
    if suffix in (".json", ".jsonl", ".ndjson"):
        return documents(table, report, part)
    raise UserError(
        f"manifest: {table} is not named like a table", "save it as .jsonl, .csv, .tsv or .parquet"
    )


def _unquoted(cells: Mapping[str, str]) -> dict[str, str]:
    """Cells without the quotes that data frames put around those with a quote inside."""
    return {
        name: cell[1:-1].replace('""', '"') if _QUOTED.fullmatch(cell) else cell
        for name, cell in cells.items()
    }


def _table(config: SourceConfig) -> Path:
    root = Path(config.root).expanduser()
    if root.is_file():
        return root
    if not root.is_dir():
        raise UserError(f"manifest: {root}: no such file or folder", f"expected {MANIFEST_TREE}")
    found = [root / name for name in _USUAL if (root / name).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise UserError(f"manifest: {root} has {names}", "set root to the file that is meant")
    if found:
        return found[0]
    raise UserError(f"manifest: {root} has no {', '.join(_USUAL)}", f"expected {MANIFEST_TREE}")


CORPORA = {
    "manifest": Corpus(
        manifest, ("speech", "event", "music", "noise"), AS_STATED, MANIFEST_TREE,
        "your own recordings",
    ),
}  # fmt: skip
