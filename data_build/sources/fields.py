"""A clip from a row of a corpus that has no layout of its own (manifest, tars, database)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast, get_args

from data_build.records import Clip, ClipKind, Origin, Recorded, Word
from data_build.sources.rows import Row, encodable
from data_build.sources.source import FIELDS, BadRow, SourceConfig


def names_of(config: SourceConfig, field: str) -> tuple[str, ...]:
    """The columns in which to look for a field: the recipe's choice, or the usual names."""
    chosen = config.columns.get(field)
    return (chosen,) if chosen else FIELDS[field]


def span_of(config: SourceConfig, row: Row) -> tuple[float, float | None, float | None]:
    """(start, end, duration) in seconds; end None = to the end of the file.

    A row with a start and a duration but no end (NeMo's form) gets its end from them.

    Raises:
        BadRow: if a time is not one, or the end does not lie behind the start.
    """
    start_s = _seconds(config, row, "start") or 0.0
    end_s = _seconds(config, row, "end")
    length_s = _seconds(config, row, "duration")
    named_start = any(row.data.get(n) not in (None, "") for n in names_of(config, "start"))
    if end_s is None and length_s is not None and named_start:
        end_s = round(start_s + length_s, 6)
    if end_s is not None:
        if end_s <= start_s:
            raise BadRow(f"ends at {end_s} s, before or at its start {start_s} s")
        length_s = round(end_s - start_s, 6)
    return start_s, end_s, length_s


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

    def text(field: str) -> str:
        return row.text_or("", *names_of(config, field))

    labels = _labels(config, row)
    said = text("text")
    return Clip(
        id=text("id") or name,
        kind=_kind(config, text("kind"), said, labels),
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
        caption=text("caption"),
        translation=text("translation"),
        words=_words(config, row),
        notes=_notes(config, row),
    )


def _seconds(config: SourceConfig, row: Row, field: str) -> float | None:
    for name in names_of(config, field):
        found = row.seconds_or_none(name)
        if found is not None:
            return found
    return None


def _kind(config: SourceConfig, written: str, said: str, labels: tuple[str, ...]) -> ClipKind:
    if written:
        if written not in get_args(ClipKind):
            raise BadRow(f"kind is {written!r}, not one of {get_args(ClipKind)}")
        return cast(ClipKind, written)
    return config.kind or ("speech" if said else "event" if labels else "noise")


def _labels(config: SourceConfig, row: Row) -> tuple[str, ...]:
    """One label, several with ";" between them, or a list."""
    for name in names_of(config, "label"):
        value = row.data.get(name)
        if isinstance(value, list):
            if not all(isinstance(v, str) for v in value):
                raise BadRow(f"{name} holds what is not text")
            pieces = value
        else:
            pieces = row.text_or("", name).split(";")
        found = tuple(encodable(p.strip(), name) for p in pieces if p.strip())
        if found:
            return found
    return ()


def _words(config: SourceConfig, row: Row) -> tuple[Word, ...]:
    """Word times: a list of {text (or word), start, end} in seconds from the clip's start."""
    for name in names_of(config, "words"):
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


def _notes(config: SourceConfig, row: Row) -> dict[str, Any]:
    used = {name for field in FIELDS for name in names_of(config, field)}
    return {key: plain(v) for key, v in row.data.items() if key not in used and v is not None}


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
