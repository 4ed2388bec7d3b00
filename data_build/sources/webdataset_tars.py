"""WebDataset tars: samples are runs of members that share a name up to the first dot."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_build.drops import Drop
from data_build.records import Clip, Origin, Recorded
from data_build.sources.audio_refs import AUDIO_SUFFIXES, files_below
from data_build.sources.fields import clip_of, span_of
from data_build.sources.rows import Row, encodable, parse_json, usable
from data_build.sources.source import STEP, BadRow, Report, SourceConfig, WorkerShard
from soundflow.errors import UserError

WEBDATASET_TREE = "*.tar with members <key>.{wav,flac,mp3,ogg} and <key>.{json,txt,cls}"

# A description of a clip; what is larger is no description.
_MAX_TEXT_BYTES = 1 << 20
_TEXT_SUFFIXES = {".txt": "text", ".lab": "text", ".cls": "label", ".caption": "caption"}


@dataclass
class _Sample:
    """The members of one key, as far as they have been met."""

    where: str
    key: str
    audio: str = ""
    columns: dict[str, Any] = field(default_factory=dict)


def webdataset(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """Tars in the WebDataset convention::

        train-000000.tar:  utt1.flac  utt1.json      {"text": ..., "speaker": ..., ...}
                           utt2.flac  utt2.txt       the transcript
                           a/b3.wav   a/b3.cls       a label

    The audio stays in the tar and is named by its member. Compressed tars cannot be read at a
    place in the middle and are refused. ``split`` picks tars by name. A unit of work is a tar; a
    tar that breaks off gives the samples before that place.
    """
    for path in part.files(_tars(config)):
        origin = Origin(path.parent.name or "webdataset", config.licence or "not stated")

        def make(sample: _Sample, path: Path = path, origin: Origin = origin) -> Clip:
            if not sample.audio:
                raise BadRow("has no audio member")
            columns = Row(sample.where, sample.columns)
            start_s, end_s, length_s = span_of(config, columns)
            audio = Recorded(str(path), encodable(sample.audio, "member"), start_s, end_s)
            return clip_of(config, columns, audio, f"{path.stem}/{sample.key}", origin, length_s)

        yield from usable(_samples(path, report), make, report)


def _tars(config: SourceConfig) -> list[Path]:
    root = Path(config.root).expanduser()
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(
            f"webdataset: {root}: no such file or folder", f"expected {WEBDATASET_TREE}"
        )
    found = [
        path
        for path in files_below(root, frozenset((".tar",)))
        if config.split is None or config.split in path.name
    ]
    if found:
        return found
    packed = next(files_below(root, frozenset((".gz", ".tgz", ".xz", ".zst", ".bz2"))), None)
    hint = f"unpack {packed.name} to a plain .tar" if packed else f"expected {WEBDATASET_TREE}"
    raise UserError(f"webdataset: {root} has no .tar file", hint)


def _samples(path: Path, report: Report) -> Iterator[_Sample]:
    sample: _Sample | None = None
    for key, suffix, member, content in _members(path, report):
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(f"{path}:{key}", key)
        if suffix in AUDIO_SUFFIXES:
            sample.audio = sample.audio or member
        elif suffix == ".json":
            found = parse_json(content, f"{path}:{member}", report)
            if isinstance(found, dict):
                sample.columns.update(found)
        elif suffix in _TEXT_SUFFIXES:
            try:
                sample.columns.setdefault(_TEXT_SUFFIXES[suffix], content.decode())
            except UnicodeDecodeError:
                report(Drop(STEP, f"{path}:{member}", "is not valid UTF-8"))
    if sample is not None:
        yield sample


def _members(path: Path, report: Report) -> Iterator[tuple[str, str, str, bytes]]:
    """(key, suffix, member name, content of a text member) in the order of the tar."""
    try:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                # The list of members would grow with the tar.
                tar.members = []  # type: ignore[attr-defined]
                if not member.isreg():
                    continue
                if member.offset_data + member.size > size:
                    report(Drop(STEP, f"{path}:{member.name}", "the tar breaks off inside it"))
                    return
                key, suffix = _split(member.name)
                content = b""
                if suffix == ".json" or suffix in _TEXT_SUFFIXES:
                    if member.size > _MAX_TEXT_BYTES:
                        reason = f"has {member.size} bytes of text"
                        report(Drop(STEP, f"{path}:{member.name}", reason))
                        continue
                    opened = tar.extractfile(member)
                    content = opened.read() if opened else b""
                yield key, suffix, member.name, content
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        report(Drop(STEP, str(path), f"is not a whole tar: {reason}"))


def _split(name: str) -> tuple[str, str]:
    """("a/b.c/utt1", ".json") of "a/b.c/utt1.json"; the suffix is from the last name's first dot.

    A compound suffix such as ``.en.txt`` counts by its last piece.
    """
    folder, slash, last = name.rpartition("/")
    stem, dot, suffixes = last.partition(".")
    return f"{folder}{slash}{stem}", f"{dot}{suffixes.rpartition('.')[2]}".lower()
