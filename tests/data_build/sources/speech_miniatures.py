"""Tiny corpora of speech in their published layouts."""

from __future__ import annotations

import json
from pathlib import Path

from data_build.sources.source import SourceConfig
from tests.data_build.sources.making import (
    tone,
    write,
)


def librispeech(root: Path) -> SourceConfig:
    for speaker, chapter, texts in (
        ("103", "1240", ("CHAPTER ONE MISSUS RACHEL", "THAT HAD ITS SOURCE")),
        ("19", "198", ("NORTHANGER ABBEY",)),
    ):
        folder = root / "LibriSpeech" / "train-clean-100" / speaker / chapter
        names = [f"{speaker}-{chapter}-{i:04d}" for i in range(len(texts))]
        for name in names:
            tone(folder / f"{name}.flac")
        lines = [f"{n} {t}" for n, t in zip(names, texts, strict=True)]
        write(folder / f"{speaker}-{chapter}.trans.txt", *lines)
    aligned = root / "LibriSpeech/train-clean-100/19/198/19-198.alignment.txt"
    write(aligned, '19-198-0000 ",NORTHANGER,,ABBEY," "0.020,0.080,0.090,0.170,0.200"')
    write(root / "LibriSpeech" / "SPEAKERS.TXT", ";ID  |SEX| SUBSET           |MINUTES| NAME")
    write(root / "LibriSpeech" / "README.TXT", "not a transcript")
    return SourceConfig("librispeech", str(root), split="train-clean-100")


COMMON_VOICE_COLUMNS = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender"
    "\taccents\tvariant\tlocale\tsegment"
)


def common_voice(root: Path) -> SourceConfig:
    folder = root / "cv-corpus-17.0-2024-03-15" / "en"
    rows = []
    for number, sentence in enumerate(('He said "go', "It's a tab-free line.", "Third.")):
        name = f"common_voice_en_{number}.mp3"
        tone(folder / "clips" / name, rate_hz=48_000)
        rows.append(f"speaker{number}\t{name}\ts{number}\t{sentence}\t\t2\t0\t\t\t\t\ten\t")
    write(folder / "train.tsv", COMMON_VOICE_COLUMNS, *rows)
    write(folder / "clip_durations.tsv", "clip\tduration[ms]", "common_voice_en_0.mp3\t200")
    return SourceConfig("common_voice", str(folder.parent), language="en")


def gigaspeech(root: Path) -> SourceConfig:
    audios = []
    for number in range(3):
        aid = f"POD{number:010d}"
        path = f"audio/podcast/P0000/{aid}.opus"
        tone(root / "GigaSpeech" / path, 0.6, 48_000)
        texts = ("HELLO THERE <COMMA> JOHN <PERIOD>", "<SIL>")
        segments = [
            {
                "sid": f"{aid}_S{i:07d}",
                "speaker": "N/A",
                "begin_time": 0.3 * i,
                "end_time": 0.3 * i + 0.25,
                "subsets": ["{XL}", "{XS}"] if number < 2 else ["{XL}"],
                "text_tn": text,
                "url": "https://example.org",
                "md5": "0",
            }
            for i, text in enumerate(texts)
        ]
        audios.append(
            {
                "title": "N/A",
                "url": "https://example.org",
                "path": path,
                "aid": aid,
                "source": "podcast",
                "codec_conversion": "ffmpeg",
                "channels": 1,
                "md5": "0",
                "speaker": "N/A",
                "category": "N/A",
                "duration": 0.6,
                "sample_rate": 16000,
                "format": "opus",
                "subsets": ["{XL}"],
                "segments": segments,
            }
        )
    index = {"dataset": "GigaSpeech", "language": "EN", "version": "v1.0.0", "audios": audios}
    write(root / "GigaSpeech" / "GigaSpeech.json", json.dumps(index, indent=2))
    return SourceConfig("gigaspeech", str(root), split="XS")


def voxpopuli(root: Path) -> SourceConfig:
    folder = root / "transcribed_data" / "en"
    rows = []
    for number, raw in enumerate(("Mr President, thank you.", "")):
        name = f"20130909-0900-PLENARY-14-en_20130909-21:05:16_{number}"
        tone(folder / "2013" / f"{name}.ogg")
        rows.append(f"{name}\t{raw}\tmister president thank you\t{number}\ttrain\tmale")
    write(
        folder / "asr_train.tsv", "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender", *rows
    )
    return SourceConfig("voxpopuli", str(root), split="train")


def aishell(root: Path) -> SourceConfig:
    folder = root / "data_aishell"
    lines = []
    for number, words in enumerate(("而 对 楼市 成交", "抑制 作用 最 大 的")):
        name = f"BAC009S000{number}W0122"
        tone(folder / "wav" / "train" / f"S000{number}" / f"{name}.wav")
        lines.append(f"{name} {words}")
    write(folder / "transcript" / "aishell_transcript_v0.8.txt", *lines)
    return SourceConfig("aishell", str(root), split="train")


def covost2(root: Path) -> SourceConfig:
    rows = []
    for number, translation in enumerate(("你好。", "再见\\\t朋友。")):
        name = f"common_voice_en_{number}.mp3"
        tone(root / "clips" / name, rate_hz=48_000)
        rows.append(f"{name}\tSentence {number}.\t{translation}\tspeaker{number}")
    write(root / "covost_v2.en_zh-CN.train.tsv", "path\tsentence\ttranslation\tclient_id", *rows)
    return SourceConfig("covost2", str(root), language="en_zh-CN", split="train")
