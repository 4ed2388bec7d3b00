"""Read speech with transcripts: LibriSpeech, Common Voice, AISHELL-1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data_build.records import Clip, Origin, Word
from data_build.sources.audio_refs import audio_file, files_below
from data_build.sources.rows import Row, encodable, text_lines, tsv_rows, usable
from data_build.sources.source import (
    BadRow,
    Corpus,
    Report,
    SourceConfig,
    WorkerShard,
    find_file,
    find_folder,
)
from soundflow.errors import UserError

LIBRISPEECH = Origin("LibriSpeech", "CC-BY-4.0", "LibriVox volunteers; Panayotov et al. 2015")
COMMON_VOICE = Origin("Common Voice", "CC0-1.0", "Mozilla Common Voice contributors")
AISHELL = Origin("AISHELL-1", "Apache-2.0", "Beijing Shell Shell Technology; Bu et al. 2017")

LIBRISPEECH_TREE = "LibriSpeech/<split>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt"
COMMON_VOICE_TREE = "cv-corpus-<version>/<language>/{<split>.tsv, clips/}"
AISHELL_TREE = "data_aishell/{transcript/aishell_transcript_v0.8.txt, wav/<split>/<speaker>/}"

_ALIGNMENT = re.compile(r'^(\S+) "(.*)" "([\d.,]*)"$')


def librispeech(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """LibriSpeech (openslr.org/12)::

        LibriSpeech/train-clean-100/103/1240/103-1240.trans.txt    "103-1240-0000 CHAPTER ONE ..."
                                             103-1240-0000.flac
                                             103-1240.alignment.txt   (optional, word end times)

    A unit of work is a chapter. Word times come from the LibriSpeech-Alignments release, where a
    line is ``103-1240-0000 ",CHAPTER,ONE," "0.500,0.830,1.110,1.4"``: words (empty = silence) and
    the end of each in seconds.
    """
    root = find_folder(config, ("LibriSpeech", ""), LIBRISPEECH_TREE)
    folder = root / config.split if config.split else root
    chapters = [p for p in files_below(folder, report, frozenset((".txt",))) if _is_transcript(p)]
    if not chapters:
        raise UserError(
            f"librispeech: {folder} holds no *.trans.txt", f"expected {LIBRISPEECH_TREE}"
        )
    for chapter in part.files(chapters):
        times = _alignments(chapter, report)
        rows = (
            Row(f"{chapter}:{number}", dict(zip(("id", "text"), line.split(" ", 1), strict=False)))
            for number, line in text_lines(chapter, report)
        )

        def make(row: Row, chapter: Path = chapter, times: dict[str, str] = times) -> Clip:
            name = row.text("id")
            text = row.text("text")
            return Clip(
                id=name,
                kind="speech",
                audio=audio_file(chapter.parent / f"{name}.flac"),
                origin=LIBRISPEECH,
                text=text,
                language="en",
                speaker=name.partition("-")[0],
                words=_words(times.get(name, "")),
            )

        yield from usable(rows, make, report)


def _is_transcript(path: Path) -> bool:
    return path.name.endswith(".trans.txt")


def _alignments(chapter: Path, report: Report) -> dict[str, str]:
    path = chapter.with_name(chapter.name.replace(".trans.txt", ".alignment.txt"))
    if not path.is_file():
        return {}
    return {line.partition(" ")[0]: line for _, line in text_lines(path, report)}


def _words(line: str) -> tuple[Word, ...]:
    if not line:
        return ()
    found = _ALIGNMENT.match(line)
    if not found:
        raise BadRow("its alignment cannot be read", repr(line))
    names, ends = found[2].split(","), found[3].split(",")
    if len(names) != len(ends):
        raise BadRow(
            "its alignment has different numbers of words and times", f"{len(names)}, {len(ends)}"
        )
    words: list[Word] = []
    start_s = 0.0
    for name, end in zip(names, ends, strict=True):
        try:
            end_s = float(end)
        except ValueError:
            raise BadRow("its alignment has an invalid time", repr(end)) from None
        if end_s < start_s:
            raise BadRow("its alignment is not in order of time", f"from {start_s} s to {end_s} s")
        if name:
            words.append(Word(name, start_s, end_s))
        start_s = end_s
    return tuple(words)


def common_voice(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """Common Voice (commonvoice.mozilla.org), releases 1 to today::

        cv-corpus-17.0-2024-03-15/en/train.tsv    client_id  path  sentence_id  sentence ...
                                     clips/common_voice_en_123.mp3

    Columns came and went (``accent`` became ``accents``); ``client_id``, ``path`` and ``sentence``
    are in all. The first releases left ``.mp3`` off the path. Splits: train (default), dev, test,
    validated, other, invalidated. A unit of work is a row.
    """
    folder = _common_voice_language(config)
    table = find_file(config, folder, (f"{config.split or 'train'}.tsv",), COMMON_VOICE_TREE)
    clips = folder / "clips"

    def make(row: Row) -> Clip:
        name = row.text("path")
        path = clips / (name if Path(name).suffix else f"{name}.mp3")
        return Clip(
            id=path.stem,
            kind="speech",
            audio=audio_file(path),
            origin=COMMON_VOICE,
            text=row.text("sentence"),
            language=row.text_or(folder.name, "locale"),
            speaker=row.text_or("", "client_id"),
        )

    yield from usable(tsv_rows(table, report, part), make, report)


def _common_voice_language(config: SourceConfig) -> Path:
    root = find_folder(config, ("",), COMMON_VOICE_TREE)
    if config.language and root.name != config.language:
        return find_folder(config, (config.language,), COMMON_VOICE_TREE)
    if (root / "clips").is_dir():
        return root
    languages = sorted(p.parent.name for p in root.glob("*/clips") if p.is_dir())
    if len(languages) != 1:
        found = ", ".join(languages) or "none"
        raise UserError(
            f"common_voice: {root} holds the languages: {found}", "choose one: language: en"
        )
    return root / languages[0]


def aishell(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """AISHELL-1 (openslr.org/33)::

        data_aishell/transcript/aishell_transcript_v0.8.txt   "BAC009S0002W0122 而 对 楼市 ..."
                     wav/train/S0002/BAC009S0002W0122.wav

    The archives inside ``wav/`` (one a speaker) have to be unpacked. Words are separated by blanks
    in the transcript; the text comes without them. Some recordings have no transcript line and
    are reported. A unit of work is a recording.
    """
    root = find_folder(config, ("data_aishell", ""), AISHELL_TREE)
    names = ("aishell_transcript_v0.8.txt",)
    table = find_file(config, root / "transcript", names, AISHELL_TREE)
    wav = root / "wav"
    folder = wav / config.split if config.split else wav
    if not folder.is_dir():
        raise UserError(f"aishell: {folder}: no such folder", f"expected {AISHELL_TREE}")
    if next(files_below(folder, report), None) is None:
        raise UserError(f"aishell: {folder} holds no audio", "unpack wav/*.tar.gz there")
    # 141 600 short lines: the only way to meet recordings in folder order without sorting both.
    texts = {}
    for number, line in text_lines(table, report):
        name, _, words = line.partition(" ")
        if not words.strip():
            report(BadRow("has no transcript").drop(f"{table}:{number}"))
            continue
        texts[name] = "".join(words.split())
    rows = (
        Row(str(path), {"path": path})
        for index, path in enumerate(files_below(folder, lambda drop: None))
        if part.takes(index)
    )

    def make(row: Row) -> Clip:
        path: Path = row.data["path"]
        if path.stem not in texts:
            raise BadRow(f"has no line in {table.name}")
        return Clip(
            id=path.stem,
            kind="speech",
            audio=audio_file(path),
            origin=AISHELL,
            text=encodable(texts[path.stem], "text"),
            language="zh",
            speaker=path.parent.name,
        )

    yield from usable(rows, make, report)


CORPORA = {
    "librispeech": Corpus(
        librispeech, ("speech",), LIBRISPEECH.licence, LIBRISPEECH_TREE,
        "openslr.org/12; word times: LibriSpeech-Alignments",
    ),
    "common_voice": Corpus(
        common_voice, ("speech",), COMMON_VOICE.licence, COMMON_VOICE_TREE,
        "commonvoice.mozilla.org/datasets",
    ),
    "aishell": Corpus(
        aishell, ("speech",), AISHELL.licence, AISHELL_TREE,
        "openslr.org/33: data_aishell.tgz, then unpack wav/*.tar.gz",
    ),
}  # fmt: skip
