"""Segments of long recordings: GigaSpeech, VoxPopuli."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_build.records import Clip, Origin
from data_build.sources.audio_refs import audio_file
from data_build.sources.json_stream import array_items
from data_build.sources.rows import Row, tsv_rows, usable
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


def gigaspeech(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """GigaSpeech (github.com/SpeechColab/GigaSpeech), the raw release::

        GigaSpeech/GigaSpeech.json    {"dataset": ..., "audios": [{"aid", "path", "segments":
                                        [{"sid", "speaker", "begin_time", "end_time", "text_tn",
                                          "subsets": ["{XL}", ...]}, ...]}, ...]}
                   audio/podcast/P0000/POD0000000001.opus

    The index is several gigabytes and is read recording by recording, which is the unit of work.
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
        if not part.takes(number):
            continue
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


def voxpopuli(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """VoxPopuli (github.com/facebookresearch/voxpopuli), as its ``get_asr_data`` leaves it::

        transcribed_data/en/asr_train.tsv    id  raw_text  normalized_text  speaker_id  split ...
                            2013/20130909-0900-PLENARY-14-en_20130909-21:05:16_3.ogg

    The year folder is the beginning of the id. ``raw_text`` keeps case and punctuation and is
    taken where it is filled in; in many rows it is empty. A unit of work is a row.
    """
    names: tuple[str, ...] = ("transcribed_data", "")
    if config.language:
        names = (f"transcribed_data/{config.language}", config.language, "")
    root = find_folder(config, names, VOXPOPULI_TREE)
    if root.name == "transcribed_data":
        languages = sorted(p.name for p in root.iterdir() if p.is_dir())
        if len(languages) != 1:
            raise UserError(
                f"voxpopuli: {root} holds the languages: {', '.join(languages) or 'none'}",
                "choose one: language: en",
            )
        root = root / languages[0]
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

    yield from usable(tsv_rows(table, report, part), make, report)


CORPORA = {
    "gigaspeech": Corpus(
        gigaspeech, ("speech",), GIGASPEECH.licence, GIGASPEECH_TREE,
        "github.com/SpeechColab/GigaSpeech (on application)",
    ),
    "voxpopuli": Corpus(
        voxpopuli, ("speech",), VOXPOPULI.licence, VOXPOPULI_TREE,
        "github.com/facebookresearch/voxpopuli: get_asr_data",
    ),
}  # fmt: skip
