"""WebDataset tars: a sample is the members whose file names are equal up to the first dot."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from data_build.drops import Report
from data_build.records import Clip, Origin, Recorded
from data_build.sources.audio_refs import files_below
from data_build.sources.beside import MAX_TEXT_BYTES, TEXT_SUFFIXES, columns_beside
from data_build.sources.manifest import clip_of, span_of
from data_build.sources.rows import Row, encodable, usable
from data_build.sources.source import (
    AS_STATED,
    BadRow,
    Corpus,
    SourceConfig,
    ignore,
)
from soundflow.audio.files import AUDIO_SUFFIXES
from soundflow.errors import UserError

WEBDATASET_TREE = "*.tar with members <key>.{wav,flac,mp3,ogg} and <key>.{json,txt,cls}"

_COMPRESSED = frozenset((".gz", ".tgz", ".xz", ".zst", ".bz2"))
_UNPACK = "unpack it to a plain .tar"
_USED_SUFFIXES = AUDIO_SUFFIXES | {".json", *TEXT_SUFFIXES}
# What is between key and suffix if a sample has several files of a kind (utt.en.txt).
_PART_NAME = re.compile(r"[A-Za-z][\w-]*")


@dataclass(frozen=True)
class _Member:
    """A file of a tar: ``stem`` is its name up to the last dot, ``key`` up to the first."""

    name: str
    key: str
    stem: str
    suffix: str
    offset: int
    size: int


@dataclass(frozen=True)
class _Sample:
    where: str
    key: str
    audio: tuple[_Member, ...]
    texts: tuple[_Member, ...]


def webdataset(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """Tars in the WebDataset convention::

        train-000000.tar:  utt1.flac  utt1.json      {"text": ..., "speaker": ..., ...}
                           utt2.flac  utt2.txt       the transcript
                           a/b3.wav   a/b3.cls       a label

    The audio stays in the tar and is named by its member. Members of a sample need not lie
    together. Names with dots ("Track 2.0 (Live).wav") share a key with others: there audio and
    text belong together only where their names are the same up to the last dot, and what is left
    over is reported. Compressed tars cannot be read at a place in the middle and are refused.
    ``split`` picks tars by name. A truncated tar gives the samples before
    that place.
    """
    for path in _tars(config, report):
        origin = Origin(path.parent.name or "webdataset", config.licence or "not stated")
        with path.open("rb") as tar:

            def make(sample: _Sample, path: Path = path, origin: Origin = origin) -> Clip:
                columns = Row(sample.where, _columns(tar, sample, report))
                audio = _only_audio(sample)
                start_s, end_s, length_s = span_of(config, columns)
                member = encodable(audio.name, "member")
                recorded = Recorded(str(path), member, start_s, end_s)
                name = f"{path.stem}/{sample.key}"
                return clip_of(config, columns, recorded, name, origin, length_s)

            yield from usable(_samples(path, report), make, report)


def _tars(config: SourceConfig, report: Report) -> list[Path]:
    root = Path(config.root).expanduser()
    if root.is_file():
        if root.suffix.lower() in _COMPRESSED:
            raise UserError(f"webdataset: {root} is compressed", _UNPACK)
        return [root]
    if not root.is_dir():
        raise UserError(
            f"webdataset: {root}: no such file or folder", f"expected {WEBDATASET_TREE}"
        )
    found: list[Path] = []
    for path in files_below(root, report, _COMPRESSED | {".tar"}):
        if config.split is not None and config.split not in path.name:
            continue
        if path.suffix.lower() == ".tar":
            found.append(path)
        else:
            report(BadRow(f"is compressed; {_UNPACK}").drop(str(path)))
    if found:
        return found
    packed = next(files_below(root, ignore, _COMPRESSED), None)
    if packed:
        raise UserError(f"webdataset: {packed} is compressed", _UNPACK)
    raise UserError(f"webdataset: {root} has no .tar file", f"expected {WEBDATASET_TREE}")


def _samples(path: Path, report: Report) -> Iterator[_Sample]:
    """The samples of a tar in the order in which their keys are met."""
    groups: dict[str, list[_Member]] = {}
    for member in _members(path, report):
        if member.suffix in _USED_SUFFIXES:
            groups.setdefault(member.key, []).append(member)
    for key, members in groups.items():
        if len({m.stem for m in members}) == 1 or _is_one_sample(members):
            yield _sample(path, key, members)
            continue
        for stem in dict.fromkeys(m.stem for m in members):
            yield _sample(path, stem, [m for m in members if m.stem == stem])


def _is_one_sample(members: Sequence[_Member]) -> bool:
    """Whether members of one key are its named parts (utt.flac, utt.en.txt), not other samples."""
    audio = [m for m in members if m.suffix in AUDIO_SUFFIXES]
    parts = {m.stem.removeprefix(m.key).removeprefix(".") for m in members} - {""}
    kinds = [m.suffix for m in members]
    return (
        len(audio) == 1
        and len(set(kinds)) == len(kinds)
        and all(_PART_NAME.fullmatch(piece) for part in parts for piece in part.split("."))
    )


def _sample(path: Path, key: str, members: Sequence[_Member]) -> _Sample:
    audio = tuple(m for m in members if m.suffix in AUDIO_SUFFIXES)
    texts = tuple(m for m in members if m.suffix not in AUDIO_SUFFIXES)
    return _Sample(f"{path}:{key}", key, audio, texts)


def _only_audio(sample: _Sample) -> _Member:
    if not sample.audio:
        raise BadRow("has no audio member of its name")
    if len(sample.audio) > 1:
        raise BadRow("has several audio members", ", ".join(m.name for m in sample.audio))
    return sample.audio[0]


def _columns(tar: IO[bytes], sample: _Sample, report: Report) -> dict[str, Any]:
    def contents() -> Iterator[tuple[str, bytes]]:
        for member in sample.texts:
            tar.seek(member.offset)
            yield member.suffix, tar.read(min(member.size, MAX_TEXT_BYTES + 1))

    return columns_beside(contents(), sample.where, report)


def _members(path: Path, report: Report) -> Iterator[_Member]:
    """The regular files of a tar in order, their headers alone read."""
    try:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                # The list of members would grow with the tar.
                tar.members = []  # type: ignore[attr-defined]
                if not info.isreg():
                    continue
                if info.offset_data + info.size > size:
                    report(BadRow("the tar is truncated inside it").drop(f"{path}:{info.name}"))
                    return
                yield _member(info)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        report(BadRow("is not a complete tar", error).drop(str(path)))


def _member(info: tarfile.TarInfo) -> _Member:
    folder, slash, last = info.name.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    key, start = last.partition(".")[0], f"{folder}{slash}"
    if not dot:
        stem, suffix = last, ""
    return _Member(
        info.name, start + key, start + stem, f".{suffix}".lower(), info.offset_data, info.size
    )


CORPORA = {
    "webdataset": Corpus(
        webdataset, ("speech", "event", "music", "noise"), AS_STATED,
        WEBDATASET_TREE, "any tars",
    ),
}  # fmt: skip
