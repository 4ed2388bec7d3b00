"""Speech with transcripts: LibriSpeech, AISHELL-1, GigaSpeech, VoxPopuli."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_build.drops import Report
from data_build.records import Clip, Origin, Word
from data_build.sources.audio_refs import audio_file, files_below
from data_build.sources.json_stream import array_items
from data_build.sources.rows import Row, encodable, text_lines, tsv_rows, usable
from data_build.sources.source import (
    BadRow,
    Corpus,
    SourceConfig,
    find_file,
    find_folder,
    ignore,
    the_only,
)
from soundflow.errors import UserError

LIBRISPEECH = Origin("LibriSpeech", "CC-BY-4.0", "LibriVox volunteers; Panayotov et al. 2015")
AISHELL = Origin("AISHELL-1", "Apache-2.0", "Beijing Shell Shell Technology; Bu et al. 2017")

LIBRISPEECH_TREE = "LibriSpeech/<split>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt"
AISHELL_TREE = "data_aishell/{transcript/aishell_transcript_v0.8.txt, wav/<split>/<speaker>/}"

_ALIGNMENT = re.compile(r'^(\S+) "(.*)" "([\d.,]*)"$')


def librispeech(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """LibriSpeech (openslr.org/12)::

        LibriSpeech/train-clean-100/103/1240/103-1240.trans.txt    "103-1240-0000 CHAPTER ONE ..."
                                             103-1240-0000.flac
                                             103-1240.alignment.txt   (optional, word end times)

    Word times come from the LibriSpeech-Alignments release, where a
    line is ``103-1240-0000 ",CHAPTER,ONE," "0.500,0.830,1.110,1.4"``: words (empty = silence) and
    the end of each in seconds.
    """
    root = find_folder(config, ("LibriSpeech", ""), LIBRISPEECH_TREE)
    folder = root / config.split if config.split else root
    chapters = [
        p
        for p in files_below(folder, report, frozenset((".txt",)))
        if p.name.endswith(".trans.txt")
    ]
    if not chapters:
        raise UserError(
            f"librispeech: {folder} holds no *.trans.txt", f"expected {LIBRISPEECH_TREE}"
        )
    for chapter in chapters:
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


def aishell(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """AISHELL-1 (openslr.org/33)::

        data_aishell/transcript/aishell_transcript_v0.8.txt   "BAC009S0002W0122 而 对 楼市 ..."
                     wav/train/S0002/BAC009S0002W0122.wav

    The archives inside ``wav/`` (one a speaker) have to be unpacked. Words are separated by blanks
    in the transcript; the text comes without them. Some recordings have no transcript line and
    are reported.
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
    rows = (Row(str(path), {"path": path}) for path in files_below(folder, ignore))

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


GIGASPEECH = Origin(
    "GigaSpeech",
    "Apache-2.0 (metadata); audio for non-commercial research under its own terms",
    "SpeechColab; Chen et al. 2021",
)
VOXPOPULI = Origin("VoxPopuli", "CC0-1.0", "European Parliament; Wang et al. 2021")

GIGASPEECH_TREE = "GigaSpeech/{GigaSpeech.json, audio/<source>/<folder>/<aid>.opus}"
VOXPOPULI_TREE = "transcribed_data/<language>/{asr_<split>.tsv, <year>/<id>.ogg}"

GIGASPEECH_SPLITS = ("XS", "S", "M", "L", "XL", "DEV", "TEST")

# Transcription rules of GigaSpeech: four marks are spelt out, four tags stand for no speech.
_MARKS = {"<COMMA>": ",", "<PERIOD>": ".", "<QUESTIONMARK>": "?", "<EXCLAMATIONPOINT>": "!"}
_NO_SPEECH = frozenset(("<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"))
_TAG = re.compile(r"<[A-Z]+>")


def gigaspeech(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """GigaSpeech (github.com/SpeechColab/GigaSpeech), the raw release::

        GigaSpeech/GigaSpeech.json    {"dataset": ..., "audios": [{"aid", "path", "segments":
                                        [{"sid", "speaker", "begin_time", "end_time", "text_tn",
                                          "subsets": ["{XL}", ...]}, ...]}, ...]}
                   audio/podcast/P0000/POD0000000001.opus

    The index is several gigabytes and is read recording by recording.
    Splits: XS, S, M, L, XL, DEV, TEST; None = all. Segments that are one of the four no-speech
    tags are passed over, as the publishers ask.
    """
    if config.split is not None and config.split not in GIGASPEECH_SPLITS:
        raise UserError(
            f"gigaspeech: split {config.split!r} is unknown",
            f"known: {', '.join(GIGASPEECH_SPLITS)}",
        )
    root = find_folder(config, ("GigaSpeech", ""), GIGASPEECH_TREE)
    index = find_file(config, root, ("GigaSpeech.json",), GIGASPEECH_TREE)
    wanted = "{" + config.split + "}" if config.split else None
    for number, audio in array_items(index, report, key="audios"):
        where = f"{index} audios[{number}]"
        try:
            recording = Row(where, audio if isinstance(audio, dict) else {})
            path = root / recording.text("path")
            segments = recording.children("segments")
        except BadRow as error:
            report(error.drop(where))
            continue
        chosen = (s for s in segments if _in_subset(s.data, wanted) and not _is_garbage(s.data))

        def make(row: Row, path: Path = path) -> Clip:
            start_s, end_s = row.seconds("begin_time"), row.seconds("end_time")
            speaker = row.text_or("", "speaker")
            return Clip(
                id=row.text("sid"),
                kind="speech",
                audio=audio_file(path, start_s, end_s),
                origin=GIGASPEECH,
                duration_s=round(end_s - start_s, 6),
                text=_written(row.text("text_tn")),
                language="en",
                speaker="" if speaker == "N/A" else speaker,
            )

        yield from usable(chosen, make, report)


def _in_subset(segment: Any, wanted: str | None) -> bool:
    subsets = segment.get("subsets")
    return wanted is None or (isinstance(subsets, list) and wanted in subsets)


def _is_garbage(segment: Any) -> bool:
    text = segment.get("text_tn")
    return isinstance(text, str) and text.strip() in _NO_SPEECH


def _written(text_tn: str) -> str:
    """``A <COMMA> B <PERIOD>`` -> ``A, B.``; other tags are left out."""
    words: list[str] = []
    for word in text_tn.split():
        if word in _MARKS and words:
            words[-1] += _MARKS[word]
        elif not _TAG.fullmatch(word):
            words.append(word)
    if not words:
        raise BadRow("text_tn holds tags alone")
    return " ".join(words)


def voxpopuli(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """VoxPopuli (github.com/facebookresearch/voxpopuli), as its ``get_asr_data`` leaves it::

        transcribed_data/en/asr_train.tsv    id  raw_text  normalized_text  speaker_id  split ...
                            2013/20130909-0900-PLENARY-14-en_20130909-21:05:16_3.ogg

    The year folder is the beginning of the id. ``raw_text`` keeps case and punctuation and is
    taken where it is filled in; in many rows it is empty.
    """
    names: tuple[str, ...] = ("transcribed_data", "")
    if config.language:
        names = (f"transcribed_data/{config.language}", config.language, "")
    root = find_folder(config, names, VOXPOPULI_TREE)
    if root.name == "transcribed_data":
        languages = sorted(p.name for p in root.iterdir() if p.is_dir())
        root /= the_only(config, root, "languages", languages, "choose one: language: en")
    table = find_file(config, root, (f"asr_{config.split or 'train'}.tsv",), VOXPOPULI_TREE)

    def make(row: Row) -> Clip:
        name = row.text("id", "id_")
        return Clip(
            id=name,
            kind="speech",
            audio=audio_file(root / name[:4] / f"{name}.ogg"),
            origin=VOXPOPULI,
            text=row.text("raw_text", "normalized_text"),
            language=root.name,
            speaker=row.text_or("", "speaker_id"),
        )

    yield from usable(tsv_rows(table, report), make, report)


CORPORA = {
    "librispeech": Corpus(
        librispeech, ("speech",), LIBRISPEECH.licence, LIBRISPEECH_TREE,
        "openslr.org/12; word times: LibriSpeech-Alignments",
    ),
    "aishell": Corpus(
        aishell, ("speech",), AISHELL.licence, AISHELL_TREE,
        "openslr.org/33: data_aishell.tgz, then unpack wav/*.tar.gz",
    ),
    "gigaspeech": Corpus(
        gigaspeech, ("speech",), GIGASPEECH.licence, GIGASPEECH_TREE,
        "github.com/SpeechColab/GigaSpeech (on application)",
    ),
    "voxpopuli": Corpus(
        voxpopuli, ("speech",), VOXPOPULI.licence, VOXPOPULI_TREE,
        "github.com/facebookresearch/voxpopuli: get_asr_data",
    ),
}  # fmt: skip
