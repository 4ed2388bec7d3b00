"""Kaldi data directories: sorted columns that are read side by side."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from data_build.drops import Report
from data_build.records import Clip, Origin
from data_build.sources.audio_refs import audio_file, written_path
from data_build.sources.rows import Row, text_lines, usable
from data_build.sources.source import (
    AS_STATED,
    BadRow,
    Corpus,
    SourceConfig,
    find_file,
    find_folder,
)
from soundflow.audio.files import AUDIO_SUFFIXES
from soundflow.errors import UserError

KALDI_TREE = "<split>/{wav.scp, text, utt2spk, segments?, utt2lang?}"


def kaldi(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """A Kaldi data directory (kaldi-asr.org, "Data preparation")::

        wav.scp     <recording> <path or command |>
        segments    <utterance> <recording> <start s> <end s>      (optional; end -1 = to the end)
        text        <utterance> <words>                            (optional)
        utt2spk     <utterance> <speaker>                          (optional)
        utt2lang    <utterance> <language>                         (optional)

    Files are sorted by the bytes of the utterance id, as Kaldi demands, and are merged line by
    line; an unsorted one is refused. Commands in wav.scp are never run: where a command only
    decodes an audio file, that file is taken, and other commands are reported. ``split`` is a
    folder under the root.
    """
    folder = find_folder(config, (config.split or "",), KALDI_TREE)
    base = Path(config.audio_root).expanduser() if config.audio_root else None
    recordings = find_file(config, folder, ("wav.scp",), KALDI_TREE)
    origin = Origin(folder.name, config.licence or "not stated")
    text, speaker, language = (
        _Column(folder / name, report) for name in ("text", "utt2spk", "utt2lang")
    )
    segments = folder / "segments"
    spans = (
        _segment_rows(segments, recordings, report)
        if segments.is_file()
        else _whole_rows(recordings, report)
    )

    def joined() -> Iterator[Row]:
        for row in spans:
            name = row.data["id"]
            found = {
                "text": text.at(name), "speaker": speaker.at(name), "language": language.at(name),
            }  # fmt: skip
            yield Row(row.where, {**row.data, **found})

    def make(row: Row) -> Clip:
        if text.exists and not row.data["text"]:
            raise BadRow("has no line in text")
        start_s = row.seconds_or_none("start") or 0.0
        written_end = row.text_or("", "end")
        end_s = None if written_end in ("", "-1") else row.seconds("end")
        said = row.text_or("", "text")
        return Clip(
            id=row.text("id"),
            kind=config.kind or ("speech" if said else "noise"),
            audio=audio_file(_audio_path(row.text("audio"), base), start_s, end_s),
            origin=origin,
            duration_s=None if end_s is None else round(end_s - start_s, 6),
            text=said,
            language=row.text_or(config.language or "", "language"),
            speaker=row.text_or("", "speaker"),
        )

    yield from usable(joined(), make, report)


class _Column:
    """A sorted two-column file, read along with ascending keys."""

    def __init__(self, path: Path, report: Report) -> None:
        self.exists = path.is_file()
        self._lines = _sorted_pairs(path, report) if self.exists else iter(())
        self._head: tuple[str, str] | None = next(self._lines, None)

    def at(self, key: str) -> str:
        """The value of ``key``, or "" where the file skips it. Keys must not go back."""
        wanted = key.encode(errors="surrogatepass")
        while self._head and self._head[0].encode() < wanted:
            self._head = next(self._lines, None)
        return self._head[1] if self._head and self._head[0] == key else ""


def _sorted_pairs(path: Path, report: Report) -> Iterator[tuple[str, str]]:
    before = b""
    for number, line in text_lines(path, report):
        key, *rest = line.split(maxsplit=1)
        value = rest[0] if rest else ""
        if key.encode() < before:
            raise UserError(
                f"{path}:{number}: {key!r} is out of order",
                "sort the folder with LC_ALL=C (Kaldi: utils/fix_data_dir.sh)",
            )
        before = key.encode()
        yield key, value.strip()


def _whole_rows(recordings: Path, report: Report) -> Iterator[Row]:
    for key, value in _sorted_pairs(recordings, report):
        yield Row(f"{recordings}:{key}", {"id": key, "audio": value})


def _segment_rows(segments: Path, recordings: Path, report: Report) -> Iterator[Row]:
    # Segments of one recording need not lie together, so recordings are looked up.
    audio = dict(_sorted_pairs(recordings, report))
    for key, value in _sorted_pairs(segments, report):
        cells = (*value.split(), "", "", "")[:3]
        columns = dict(zip(("recording", "start", "end"), cells, strict=True))
        yield Row(f"{segments}:{key}", {"id": key, **columns, "audio": audio.get(cells[0], "")})


def _audio_path(written: str, base: Path | None) -> Path:
    """The file behind an entry of wav.scp.

    Raises:
        BadRow: if the entry is a command that names no single audio file.
    """
    if written.endswith("|"):
        try:
            words = shlex.split(written[:-1])
        except ValueError:
            words = []
        files = [w for w in words if Path(w).suffix.lower() in AUDIO_SUFFIXES | {".sph"}]
        if len(files) != 1 or "|" in words:
            raise BadRow("wav.scp holds a command, which is not run", repr(written))
        written = files[0]
    return written_path(written, base)


CORPORA = {
    "kaldi": Corpus(kaldi, ("speech", "noise"), AS_STATED, KALDI_TREE, "any Kaldi recipe"),
}  # fmt: skip
