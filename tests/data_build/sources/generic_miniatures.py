"""Tiny corpora in the formats that no corpus owns."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

from data_build.sources.source import SourceConfig
from tests.data_build.sources.making import (
    RATE_HZ,
    add_member,
    tone,
    tone_bytes,
    write,
    write_json_lines,
)


def manifest(root: Path) -> SourceConfig:
    for name in ("a", "b"):
        tone(root / "wavs" / f"{name}.wav", 0.5)
    write_json_lines(
        root / "manifest.jsonl",
        {"path": "wavs/a.wav", "text": "hello", "language": "en", "speaker": "s1"},
        {"path": "wavs/b.wav", "label": "glass;window", "licence": "CC0-1.0", "take": 3},
        {"audio_filepath": "wavs/b.wav", "offset": 0.1, "duration": 0.2, "text": "cut"},
    )
    return SourceConfig("manifest", str(root), licence="CC-BY-4.0")


def folder(root: Path) -> SourceConfig:
    tone(root / "anna" / "s1_a.wav", 0.5)
    write(root / "anna" / "s1_a.txt", "hello there")
    tone(root / "anna" / "s1_b.flac", 0.5)
    (root / "anna" / "s1_b.json").write_text(json.dumps({"text": "cut", "start": 0.1, "end": 0.3}))
    tone(root / "bob" / "deep" / "s2.c d.ogg", 0.5)
    write(root / "bob" / "deep" / "s2.c d.lab", "the last")
    return SourceConfig("folder", str(root), columns={"speaker": "folder.1"}, licence="CC0-1.0")


def webdataset(root: Path) -> SourceConfig:
    root.mkdir(parents=True, exist_ok=True)
    for shard in range(2):
        with tarfile.open(root / f"train-{shard:06d}.tar", "w") as tar:
            row = json.dumps({"text": "spoken", "speaker": "s"}).encode()
            add_member(tar, f"a{shard}.flac", tone_bytes("flac", 300))
            add_member(tar, f"a{shard}.json", row)
            add_member(tar, f"deep/b.c/u{shard}.txt", "与文本".encode())
            add_member(tar, f"deep/b.c/u{shard}.wav", tone_bytes("wav", 500))
            add_member(tar, f"e{shard}.cls", b"dog")
            add_member(tar, f"e{shard}.ogg", tone_bytes("ogg", 600))
    return SourceConfig("webdataset", str(root), licence="CC0-1.0")


def huggingface(root: Path) -> SourceConfig:
    import datasets
    import pyarrow
    import pyarrow.parquet

    rows = {
        "audio": [
            {"bytes": tone_bytes("flac", 200 + 100 * i), "path": f"x{i}.flac"} for i in range(3)
        ],
        "sentence": ["one", "two", "three"],
        "client_id": ["a", "b", "c"],
        "label": [0, 1, 0],
        "fold": [1, 2, 3],
    }  # fmt: skip
    features = datasets.Features(
        {
            "audio": datasets.Audio(decode=False),
            "sentence": datasets.Value("string"),
            "client_id": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["dog", "rain"]),
            "fold": datasets.Value("int64"),
        }
    )
    (root / "set" / "data").mkdir(parents=True)
    table = pyarrow.Table.from_pydict(rows, schema=features.arrow_schema)
    for shard, piece in enumerate((table.slice(0, 2), table.slice(2))):
        name = f"train-{shard:05d}-of-00002.parquet"
        pyarrow.parquet.write_table(piece, root / "set" / "data" / name)
    return SourceConfig("huggingface", str(root / "set"), cache=str(root / "cache"))


def kaldi(root: Path) -> SourceConfig:
    folder = root / "train"
    first, second = tone(root / "wav" / "r1.wav", 0.8), tone(root / "wav" / "r2.flac", 0.8)
    write(folder / "wav.scp", f"r1 {first}", f"r2 flac -c -d -s {second} |", "r3 sox a.wav - | x |")
    write(
        folder / "segments", "s1-r1-a r1 0.10 0.40", "s1-r1-b r1 0.40 -1", "s2-r2-a r2 0.00 0.50",
        "s3-r3-a r3 0.00 0.50",
    )  # fmt: skip
    write(folder / "text", "s1-r1-a hello there", "s1-r1-b once more", "s2-r2-a bye", "s3-r3-a no")
    write(folder / "utt2spk", "s1-r1-a s1", "s1-r1-b s1", "s2-r2-a s2", "s3-r3-a s3")
    return SourceConfig("kaldi", str(root), split="train", language="en")


def lhotse(root: Path) -> SourceConfig:
    audio = tone(root / "r1.wav", 0.8)
    recording = {
        "id": "r1",
        "sources": [{"type": "file", "channels": [0], "source": str(audio)}],
        "sampling_rate": RATE_HZ,
        "num_samples": 12_800,
        "duration": 0.8,
    }
    supervision = {
        "id": "r1-1",
        "recording_id": "r1",
        "start": 0.1,
        "duration": 0.4,
        "channel": 0,
        "text": "hello there",
        "language": "English",
        "speaker": "s1",
        "custom": {"orig_text": "Hello there!"},
        "alignment": {"word": [["hello", 0.1, 0.2, 1.0], ["there", 0.3, 0.2]]},
    }
    cut = {
        "id": "c1",
        "start": 0.2,
        "duration": 0.6,
        "channel": 0,
        "supervisions": [supervision],
        "recording": recording,
        "type": "MonoCut",
    }
    plain = {**cut, "id": "c2", "start": 0.0, "supervisions": []}
    mixed = {"id": "c3", "tracks": [], "type": "MixedCut"}
    root.mkdir(parents=True, exist_ok=True)
    with gzip.open(root / "cuts_train.jsonl.gz", "wt", encoding="utf-8") as file:
        for row in (cut, plain, mixed):
            file.write(json.dumps(row) + "\n")
    write_json_lines(root / "manifests" / "x_recordings_dev.jsonl", recording)
    write_json_lines(root / "manifests" / "x_supervisions_dev.jsonl", supervision)
    return SourceConfig("lhotse", str(root), split="train")


def streamaudio(root: Path) -> SourceConfig:
    for name in ("a", "b", "c"):
        tone(root / "clips" / f"{name}.wav")
    turns = [
        {"user": "What time is it?", "assistant": "Noon.", "emotion": "Happy",
         "scene_type": "chat", "audio_path": "clips/a.wav"},
        {"user": "", "assistant": "<no need to response>", "emotion": "normal",
         "scene_type": "noise", "audio_path": "clips/b.wav"},
    ]  # fmt: skip
    write_json_lines(
        root / "corpus.jsonl",
        {"id": 7, "stream_scene_type": "voice_chat", "num_turns": 2, "turns": turns},
        {"id": 8, "stream_scene_type": "voice_chat", "num_turns": 1, "turns": turns[:1]},
    )
    return SourceConfig("streamaudio", str(root))


def online_conversation(root: Path) -> SourceConfig:
    for name in ("a", "b"):
        tone(root / f"{name}.wav")
    heard = [
        {"audio_path": "a.wav", "assistant": "Yes.", "emotion": "sad"},
        {"audio_path": "b.wav", "assistant": "<no need to response>"},
    ]
    write_json_lines(
        root / "online.jsonl",
        {"conversation": heard},
        {"merge_path": "b.wav", "assistant": "One thing."},
    )
    return SourceConfig("online_conversation", str(root))


def offline_conversation(root: Path) -> SourceConfig:
    tone(root / "a.wav")
    write_json_lines(
        root / "offline.jsonl",
        {"user": "What do you hear?", "assistant": "A tone.", "audio_path": "a.wav"},
        {"assistant": "A tone of 440 Hz.", "audio_path": "a.wav"},
        {"user": "Hello!", "assistant": "Hi."},
    )
    return SourceConfig("offline_conversation", str(root))
