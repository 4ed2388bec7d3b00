"""Lhotse manifests in JSON lines: cuts, or recordings with supervisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_build.drops import Report
from data_build.records import Clip, Origin, Recorded, Word
from data_build.sources.audio_refs import audio_file, files_below, written_path
from data_build.sources.json_stream import json_lines
from data_build.sources.manifest import plain
from data_build.sources.rows import Row, usable
from data_build.sources.source import AS_STATED, BadRow, Corpus, SourceConfig
from soundflow.errors import UserError

LHOTSE_TREE = "*cuts*.jsonl(.gz), or *recordings*.jsonl(.gz) with *supervisions*.jsonl(.gz)"


def lhotse(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """Lhotse (github.com/lhotse-speech/lhotse)::

        cuts_train.jsonl.gz       {"id", "start", "duration", "type": "MonoCut", "recording": {...},
                                   "supervisions": [{"id", "start", "duration", "text", ...}]}
        x_recordings_train.jsonl  {"id", "sources": [{"type": "file", "source": path}], ...}
        x_supervisions_train.jsonl {"id", "recording_id", "start", "duration", "text", "speaker",
                                   "language", "alignment": {"word": [[word, start, duration]]}}

    A supervision is a clip; a cut without one is a clip of noise. Times of a supervision inside a
    cut count from the cut's start; those of an alignment from the same origin as its supervision.
    Only audio in files can be used; perturbed, padded and mixed cuts are reported. ``split`` picks
    files by name.
    """
    base = Path(config.audio_root).expanduser() if config.audio_root else None
    root = Path(config.root).expanduser()
    folder = root if root.is_dir() else root.parent
    origin = Origin(folder.name or "lhotse", config.licence or "not stated")
    for path in _files(config, root, report):
        yield from usable(
            _utterances(path, report),
            lambda utterance: _clip(config, utterance, base, origin),
            report,
        )


@dataclass(frozen=True)
class _Utterance:
    """A supervision (or a part without one) and its recording.

    ``offset_s`` is where its times count from; ``cut_type`` None outside a cut; ``spoken`` False
    if it has no annotation.
    """

    row: Row
    recording: Any
    offset_s: Any = 0.0
    cut_type: str | None = None
    spoken: bool = True

    @property
    def where(self) -> str:
        return self.row.where


def _files(config: SourceConfig, root: Path, report: Report) -> list[Path]:
    """Cuts, or else supervisions, or else recordings: each form contains the next."""
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(f"lhotse: {root}: no such file or folder", f"expected {LHOTSE_TREE}")
    names = [
        path
        for path in files_below(root, report, frozenset((".jsonl", ".gz")))
        if config.split is None or config.split in path.name
    ]
    for form in ("cuts", "supervisions", "recordings"):
        found = [path for path in names if form in path.name]
        if found:
            return found
    raise UserError(f"lhotse: {root} has no manifest", f"expected {LHOTSE_TREE}")


def _utterances(path: Path, report: Report) -> Iterator[_Utterance]:
    if "cuts" in path.name:
        for row in json_lines(path, report):
            yield from _cut_utterances(row)
    elif "supervisions" in path.name:
        recordings = path.with_name(path.name.replace("supervisions", "recordings"))
        if not recordings.is_file():
            raise UserError(f"lhotse: {recordings}: no such file", f"expected {LHOTSE_TREE}")
        # Supervisions come in any order, so recordings are looked up; they are few beside them.
        known = {str(r.data.get("id")): r.data for r in json_lines(recordings, report)}
        for row in json_lines(path, report):
            yield _Utterance(row, known.get(str(row.data.get("recording_id"))))
    elif "recordings" in path.name:
        for row in json_lines(path, report):
            whole = Row(row.where, {k: row.data.get(k) for k in ("id", "duration")})
            yield _Utterance(whole, row.data, spoken=False)
    else:
        raise UserError(f"lhotse: {path} is not named like a manifest", f"expected {LHOTSE_TREE}")


def _cut_utterances(cut: Row) -> Iterator[_Utterance]:
    """The supervisions of a cut, or the cut itself."""
    kind = str(cut.data.get("type", "MonoCut"))
    recording, start_s = cut.data.get("recording"), cut.data.get("start")
    supervisions = cut.data.get("supervisions")
    if isinstance(supervisions, list) and supervisions:
        for index, supervision in enumerate(supervisions):
            data = supervision if isinstance(supervision, dict) else {}
            row = Row(f"{cut.where} supervisions[{index}]", data)
            yield _Utterance(row, recording, start_s, kind)
    else:
        whole = Row(cut.where, {k: cut.data.get(k) for k in ("id", "duration")})
        yield _Utterance(whole, recording, start_s, kind, spoken=False)


def _clip(config: SourceConfig, utterance: _Utterance, base: Path | None, origin: Origin) -> Clip:
    if utterance.cut_type not in (None, "MonoCut", "Cut"):
        raise BadRow(f"a {utterance.cut_type} has no single recording")
    row = utterance.row
    offset_s = Row(row.where, {"start": utterance.offset_s}).seconds_or_none("start") or 0.0
    # Within a cut a supervision may begin before it (it was cut off), hence the sign.
    own_start_s = _signed(row, "start")
    start_s = round(max(offset_s + own_start_s, 0.0), 6)
    end_s = round(offset_s + own_start_s + row.seconds("duration"), 6)
    said = row.text_or("", "text")
    if utterance.spoken and not said:
        raise BadRow("is a supervision without a text")
    return Clip(
        id=row.text("id"),
        kind=config.kind or ("speech" if said else "noise"),
        audio=_audio(row.where, utterance.recording, base, start_s, end_s),
        origin=origin,
        duration_s=round(end_s - start_s, 6),
        text=said,
        language=row.text_or(config.language or "", "language"),
        speaker=row.text_or("", "speaker"),
        words=_words(row, own_start_s),
        notes=_custom(row),
    )


def _signed(row: Row, name: str) -> float:
    value = row.data.get(name, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise BadRow(f"{name} is not a time in seconds")
    return float(value)


def _audio(where: str, recording: Any, base: Path | None, start_s: float, end_s: float) -> Recorded:
    if not isinstance(recording, dict):
        raise BadRow("its recording is not known")
    if recording.get("transforms"):
        raise BadRow("its recording is perturbed; use the original")
    sources = Row(where, recording).children("sources")
    if len(sources) != 1 or sources[0].data.get("type") != "file":
        raise BadRow("its recording is not one audio file")
    return audio_file(written_path(sources[0].text("source"), base), start_s, end_s)


def _custom(row: Row) -> dict[str, Any]:
    custom = row.data.get("custom") or {}
    if not isinstance(custom, dict):
        raise BadRow("custom is not a record")
    return {str(key): plain(value) for key, value in custom.items()}


def _words(row: Row, start_s: float) -> tuple[Word, ...]:
    """Word times from the clip's start."""
    alignment = row.data.get("alignment")
    items = alignment.get("word") if isinstance(alignment, dict) else None
    if not isinstance(items, list):
        return ()
    words = []
    for item in items:
        if not isinstance(item, list) or len(item) < 3:
            raise BadRow("a word of its alignment is not [word, start, duration]")
        word = Row(row.where, dict(zip(("text", "start", "duration"), item, strict=False)))
        on_s = round(max(_signed(word, "start") - start_s, 0.0), 6)
        off_s = round(on_s + word.seconds("duration"), 6)
        words.append(Word(word.text("text"), on_s, off_s))
    return tuple(words)


CORPORA = {
    "lhotse": Corpus(lhotse, ("speech", "noise"), AS_STATED, LHOTSE_TREE, "lhotse prepare ..."),
}  # fmt: skip
