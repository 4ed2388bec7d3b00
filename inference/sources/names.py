"""What the words of a command line, or the lines of a sequence file, name: sources of audio.

::

    talk.wav                  a file of any form
    recordings/               the audio files in a folder, sorted by name
    session.txt               a sequence file: one name on each line
    session.jsonl             the same as JSON: {"audio": "talk.wav", "pause_s": 2.5}
    data/test#3               a stream of built data, by position or id
    -                         standard input (FIFOs and process substitutions go by their name)
    take.pcm, take.raw        raw mono 16-bit samples, as from a pipe
    microphone:USB            an input device, by number or part of its name
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydantic.dataclasses

from soundflow.audio.files import AUDIO_SUFFIXES, require_recording
from soundflow.config.load import build
from soundflow.config.settings import SETTINGS, Seconds
from soundflow.errors import UserError, nearest
from soundflow.shards.reader import ShardSet
from soundflow.stored_json import parsed

STANDARD_INPUT = "-"
MICROPHONE = "microphone"
_INDEX = "index.json"  # of a split of built data
_LINES, _JSON_LINES = ".txt", ".jsonl"
_RAW_SUFFIXES = (".pcm", ".raw")


@dataclass(frozen=True)
class AudioFile:
    """``pause_s``, here and below: silence after it; None for what the profile says."""

    path: Path
    pause_s: float | None = None


@dataclass(frozen=True)
class Pipe:
    """A FIFO, process substitution or file of raw samples; standard input without a path."""

    path: Path | None
    pause_s: float | None = None


@dataclass(frozen=True)
class BuiltStream:
    """A stream of a split of built data, by its position."""

    folder: Path
    position: int
    pause_s: float | None = None


@dataclass(frozen=True)
class MicrophoneInput:
    """An input device by number or part of its name; the system's choice where None."""

    device: str | None
    pause_s: float | None = None


Source = AudioFile | Pipe | BuiltStream | MicrophoneInput


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class SequenceLine:
    """One line of a JSON sequence file.

    Attributes:
        audio: a name, relative to the folder of the sequence file.
        pause_s: silence after it.
    """

    audio: str
    pause_s: Seconds | None = None


def resolve(names: Sequence[str]) -> tuple[Source, ...]:
    """The sources that are named, in order.

    Everything is checked as far as can be without decoding: that files exist, that built streams
    are there, that a file alone begins like a recording. Of several files, one that does not
    is found when its turn comes.

    Raises:
        UserError: if nothing is named, or a name stands for nothing that can be heard.
    """
    sources = tuple(source for name in names for source in _named(name))
    if not sources:
        raise UserError("no audio was named", "give recordings, '-' for a pipe, or FOLDER#STREAM")
    for once, words in ((_is_standard_input, "standard input"), (_is_microphone, "a microphone")):
        found = [i for i, source in enumerate(sources) if once(source)]
        if len(found) > 1:
            raise UserError(f"{words} was named twice", "it can be read once")
        if found and once is _is_microphone and found[0] != len(sources) - 1:
            raise UserError("a microphone never ends", "name it last")
    if len(sources) == 1 and isinstance(sources[0], AudioFile):
        require_recording(sources[0].path)
    return sources


def _is_standard_input(source: Source) -> bool:
    return isinstance(source, Pipe) and source.path is None


def _is_microphone(source: Source) -> bool:
    return isinstance(source, MicrophoneInput)


def _named(name: str) -> Iterator[Source]:
    path = Path(name)
    if name == STANDARD_INPUT:
        yield Pipe(None)
    elif path.is_dir():
        yield from _folder(path)
    elif path.suffix.lower() in (_LINES, _JSON_LINES) and path.is_file():
        yield from _sequence(path)
    elif name.partition(":")[0] == MICROPHONE and not path.exists():
        yield MicrophoneInput(name.partition(":")[2] or None)
    else:
        yield _one(name)


def _one(name: str) -> Source:
    folder, mark, stream = name.rpartition("#")
    if mark and Path(folder).is_dir():
        return BuiltStream(Path(folder), _position(Path(folder), stream))
    path = Path(name)
    if is_pipe(path) or (path.suffix.lower() in _RAW_SUFFIXES and path.is_file()):
        return Pipe(path)
    if not path.is_file():
        require_recording(path)  # says what it is instead
    return AudioFile(path)


def is_pipe(path: Path) -> bool:
    """Whether it can be read only once: a FIFO, process substitution, terminal or socket."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _folder(folder: Path) -> Iterator[Source]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in AUDIO_SUFFIXES)
    if not files and (folder / _INDEX).is_file():
        raise UserError(f"{folder}: is built data", f"name a stream of it: {folder}#0")
    if not files:
        raise UserError(f"{folder}: holds no audio file", f"known are {_listed(AUDIO_SUFFIXES)}")
    yield from (_one(str(file)) for file in files)


def _listed(suffixes: frozenset[str]) -> str:
    return ", ".join(sorted(suffix[1:] for suffix in suffixes))


def _sequence(file: Path) -> Iterator[Source]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except ValueError as error:
        raise UserError(f"{file}: is not UTF-8 text", "write one name on each line") from error
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        where = f"{file}:{number}"
        line = _json_line(text, where) if file.suffix == _JSON_LINES else SequenceLine(text.strip())
        *before, last = _line_sources(file, line, where)
        yield from before
        yield last if line.pause_s is None else replace(last, pause_s=line.pause_s)


def _line_sources(file: Path, line: SequenceLine, where: str) -> list[Source]:
    path = file.parent / line.audio
    if path.suffix.lower() in (_LINES, _JSON_LINES):
        raise UserError(f"{where}: a sequence within a sequence", "list its recordings here")
    try:
        return list(_folder(path) if path.is_dir() else (_one(str(path)),))
    except UserError as error:
        raise UserError(f"{where}: {error.message}", error.hint) from error


def _json_line(text: str, where: str) -> SequenceLine:
    try:
        data = parsed(text)
    except ValueError as error:
        raise UserError(f"{where}: is not JSON ({error})", '{"audio": "a.wav"}') from error
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected an object, got {text.strip()[:40]}", '{"audio": ...}')
    return build(SequenceLine, data, where)


def _position(folder: Path, wanted: str) -> int:
    shards = ShardSet(folder)
    if wanted.isdecimal():
        position = int(wanted)
        if position < len(shards):
            return position
        last = f"the split holds 0 to {len(shards) - 1}"
        raise UserError(f"{folder}#{wanted}: no such stream", last)
    ids = [shards.entry(i).id for i in range(len(shards))]
    if wanted in ids:
        return ids.index(wanted)
    close = nearest(wanted, ids)
    hint = f"did you mean {close}?" if close else "give a position or an id of index.json"
    raise UserError(f"{folder}#{wanted}: no such stream", hint)
