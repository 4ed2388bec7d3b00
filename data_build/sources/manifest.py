"""A plain table of recordings, and how the columns of any generic corpus make a clip.

The way to use any folder of audio of your own; tars and databases have the same columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast, get_args

from data_build.drops import Report
from data_build.records import Clip, ClipKind, Origin, Recorded, Word
from data_build.sources.audio_refs import audio_file, written_path
from data_build.sources.json_stream import documents
from data_build.sources.rows import COLUMNS_SHOWN, Row, csv_rows, encodable, tsv_rows, usable
from data_build.sources.source import (
    AS_STATED,
    FIELDS,
    BadRow,
    Corpus,
    SourceConfig,
    shortened,
)
from data_build.sources.text_files import parquet_rows
from soundflow.errors import UserError

MANIFEST_TREE = "manifest.jsonl, manifest.csv or manifest.tsv with at least a column path"
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
USUAL_TABLES = (
    "manifest.jsonl", "manifest.json", "manifest.csv", "manifest.tsv", "manifest.parquet",
    "metadata.jsonl", "metadata.csv",
)  # fmt: skip
_SUFFIXES = frozenset((".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet"))
# Columns whose name can only mean a time; to pass over one would pair the text of a
# part with the whole file.
_LIKE_A_TIME = re.compile(
    r"(?:(?:seg|segment|utt|utterance|clip|audio|speech|event|t|x|ts)_?)?"
    r"(?:start|begin|onset|offset|stop|end|min|max)"
    r"(?:_?(?:time|s|sec|secs|seconds|ms|sample|samples|frame|frames|timestamp))*",
    re.IGNORECASE,
)
_ROUNDED_S = 0.1
UNNAMED = "has neither text nor label nor caption; for noise, set kind: noise"


def manifest(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """JSON lines, CSV, TSV or Parquet; only ``path`` is needed::

        {"path": "a/b.wav", "text": "...", "label": "...", "language": "en", "speaker": "...",
         "start": 0.0, "end": 2.5, "kind": "speech", "licence": "...", "attribution": "..."}

    Paths are relative to the manifest's folder (or ``audio_root``). ``root`` is the manifest or
    its folder. Usual other names are understood (``audio_filepath``, ``offset``, ``duration``
    of NeMo manifests, ``sentence``, ...), and ``columns`` names any other. Several rows may cut
    one file; word times go under ``words``. Columns that are no field go to ``notes``. ``split``
    keeps the rows whose column ``split`` says so.
    """
    table = _table(config)
    base = Path(config.audio_root).expanduser() if config.audio_root else table.parent
    origin = Origin(table.parent.name or "manifest", config.licence or "not stated")
    rows = _rows(table, report)
    chosen = (r for r in rows if config.split is None or r.data.get("split") == config.split)

    def make(row: Row) -> Clip:
        written = _path(config, row)
        start_s, end_s, length_s = span_of(config, row)
        cut = f"#{start_s:g}" if start_s or end_s is not None else ""
        audio = audio_file(written_path(written, base), start_s, end_s)
        return clip_of(config, row, audio, f"{written}{cut}", origin, length_s)

    yield from usable(chosen, make, report)


def _path(config: SourceConfig, row: Row) -> str:
    names = _layout_of(config, row).names["path"]
    if not names:
        wanted = config.columns.get("path", FIELDS["path"][0])
        found = shortened(", ".join(list(row.data)[:COLUMNS_SHOWN]))
        told = f"has no column {wanted!r}, but {found}"
        raise BadRow(f"{told}; name the right one in the source, as columns: {{path: NAME}}")
    return row.text(*names)


def _rows(table: Path, report: Report) -> Iterator[Row]:
    suffix = Path(table.name.lower().removesuffix(".gz")).suffix
    if suffix == ".csv":
        return csv_rows(table, report)
    if suffix == ".tsv":
        return (Row(r.where, _unquoted(r.data)) for r in tsv_rows(table, report))
    if suffix == ".parquet":
        return parquet_rows(table, report)
    if suffix in (".json", ".jsonl", ".ndjson"):
        return documents(table, report)
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
        seen = "" if root.is_absolute() else f", seen from {Path.cwd()}"
        raise UserError(
            f"manifest: {root}: no such file or folder{seen}", f"expected {MANIFEST_TREE}"
        )
    found = [root / name for name in USUAL_TABLES if (root / name).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise UserError(f"manifest: {root} has {names}", "set root to the file that is meant")
    if found:
        return found[0]
    tables = sorted(path.name for path in root.iterdir() if path.suffix in _SUFFIXES)
    others = f"set root to the file that is meant: {', '.join(tables[:COLUMNS_SHOWN])}"
    hint = others if tables else f"expected {MANIFEST_TREE}"
    raise UserError(f"manifest: {root} has no {', '.join(USUAL_TABLES)}", hint)


@dataclass(frozen=True)
class _Layout:
    """What the columns of a row are.

    Attributes:
        names: field -> those of its names that are there, in the order in which they count.
        others: those that are no field.
        like_times: those whose name can only mean a time, though it is not known.
    """

    names: Mapping[str, tuple[str, ...]]
    others: tuple[str, ...]
    like_times: tuple[str, ...]


def _layout_of(config: SourceConfig, row: Row) -> _Layout:
    return _layout(tuple(row.data), tuple(config.columns.items()))


@lru_cache(maxsize=256)
def _layout(columns: tuple[str, ...], chosen: tuple[tuple[str, str], ...]) -> _Layout:
    """Made once for all rows with these columns."""
    known = {**FIELDS, **{field: (name,) for field, name in chosen}}
    used = {name for names in known.values() for name in names}
    times = {*FIELDS["duration"], *(name for _, name in chosen)}
    return _Layout(
        {field: tuple(n for n in names if n in columns) for field, names in known.items()},
        tuple(n for n in columns if n not in used),
        tuple(n for n in columns if n not in times and _LIKE_A_TIME.fullmatch(n)),
    )


def span_of(config: SourceConfig, row: Row) -> tuple[float, float | None, float | None]:
    """(start, end, duration) in seconds; end None = to the end of the file.

    A row with a start and a duration but no end (NeMo's form) gets its end from them.

    Raises:
        BadRow: if a time is not one, the end is not after the start, the times contradict
            each other, or a column looks like a time but has no name that is known.
    """
    layout = _layout_of(config, row)
    begin_s, end_s = (_seconds(row, layout.names[field]) for field in ("start", "end"))
    if end_s is None and "onset" in row.data and "offset" in row.data:
        end_s = row.seconds_or_none("offset")  # of sound events; elsewhere it is where they begin
    length_s = _seconds(row, layout.names["duration"])
    if begin_s is None and end_s is None:
        _require_no_times(row, layout.like_times)
    start_s = begin_s or 0.0
    if end_s is None and length_s is not None and begin_s is not None:
        end_s = round(start_s + length_s, 6)
    if end_s is None:
        return start_s, None, length_s
    if end_s <= start_s:
        raise BadRow("ends before or at its start", f"{start_s:g} s to {end_s:g} s")
    if length_s is not None and abs(end_s - start_s - length_s) > _ROUNDED_S:
        raise BadRow(
            "its duration differs from end - start",
            f"{length_s:g} s, but {start_s:g} s to {end_s:g} s",
        )
    return start_s, end_s, round(end_s - start_s, 6)


def _require_no_times(row: Row, columns: Sequence[str]) -> None:
    for name in columns:
        if _is_number(row.data[name]):
            raise BadRow(f"column {name!r} looks like a time; map it under columns")


def _is_number(value: object) -> bool:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False


def clip_of(
    config: SourceConfig,
    row: Row,
    audio: Recorded,
    name: str,
    default_origin: Origin,
    duration_s: float | None,
) -> Clip:
    """A clip with every field that the row has; what is not a field goes to ``notes``.

    Raises:
        BadRow: if a field has a value it cannot have.
    """

    layout = _layout_of(config, row)

    def text(field: str) -> str:
        names = layout.names[field]
        return row.text_or("", *names) if names else ""

    labels = _labels(row, layout.names["label"])
    said, caption = text("text"), text("caption")
    return Clip(
        id=text("id") or name,
        kind=_kind(
            text("kind") or config.kind or "",
            said,
            named=bool(labels or caption),
            has_text=bool(layout.names["text"]),
        ),
        audio=audio,
        origin=Origin(
            text("corpus") or default_origin.corpus,
            text("licence") or config.licence or default_origin.licence,
            text("attribution") or default_origin.attribution,
        ),
        duration_s=duration_s,
        text=said,
        language=text("language") or config.language or "",
        speaker=text("speaker"),
        labels=labels,
        caption=caption,
        translation=text("translation"),
        words=_words(row, layout.names["words"]),
        notes={n: plain(row.data[n]) for n in layout.others if row.data[n] is not None},
    )


def _seconds(row: Row, names: Sequence[str]) -> float | None:
    for name in names:
        found = row.seconds_or_none(name)
        if found is not None:
            return found
    return None


def _kind(written: str, said: str, *, named: bool, has_text: bool) -> ClipKind:
    """The kind in the row or the recipe, else the one that its fields imply.

    Args:
        named: whether it has a label or a caption.
        has_text: whether the row has a column for its text.
    """
    if written:
        if written not in get_args(ClipKind):
            raise BadRow(f"kind is not one of {', '.join(get_args(ClipKind))}", repr(written))
        return cast(ClipKind, written)
    if said:
        return "speech"
    if named:
        return "event"
    if has_text:
        raise BadRow("its text is empty")
    raise BadRow(UNNAMED)


def _labels(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    """One label, several with ";" between them, or a list."""
    for name in names:
        value = row.data.get(name)
        if isinstance(value, list):
            if not all(isinstance(v, str) for v in value):
                raise BadRow(f"{name} has a value that is not text")
            pieces = value
        else:
            pieces = row.text_or("", name).split(";")
        found = tuple(encodable(p.strip(), name) for p in pieces if p.strip())
        if found:
            return found
    return ()


def _words(row: Row, names: Sequence[str]) -> tuple[Word, ...]:
    """Word times: a list of {text (or word), start, end} in seconds from the clip's start."""
    for name in names:
        if not isinstance(row.data.get(name), list):
            continue
        words = tuple(
            Word(w.text("text", "word"), w.seconds("start"), w.seconds("end"))
            for w in row.children(name)
        )
        if any(w.end_s < w.start_s for w in words):
            raise BadRow(f"{name} holds a word that ends before it starts")
        return words
    return ()


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON can hold it, since it travels in a sample's record.

    Raises:
        BadRow: if it is nested too deeply or holds text that is not UTF-8.
    """
    if depth > 8:
        raise BadRow("a further column is nested too deeply")
    if isinstance(value, str):
        return encodable(value, "a further column")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {
            encodable(str(k), "a further column"): plain(v, depth + 1) for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(v, depth + 1) for v in value]
    return encodable(str(value), "a further column")


CORPORA = {
    "manifest": Corpus(
        manifest, ("speech", "event", "music", "noise"), AS_STATED, MANIFEST_TREE,
        "your own recordings",
    ),
}  # fmt: skip
