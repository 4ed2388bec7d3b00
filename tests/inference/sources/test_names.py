"""Names of the command line and lines of sequence files."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import soundfile

from inference.sources.names import AudioFile, BuiltStream, MicrophoneInput, Pipe, resolve
from soundflow.errors import UserError
from tests.inference.engines import make_engine, write_split


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    (folder / "talks").mkdir()
    for name in ("talks/b.wav", "talks/a.flac", "one two.wav", "a=b.wav"):
        soundfile.write(folder / name, np.zeros(800), 16_000)
    (folder / "talks/notes.txt").write_text("not audio")
    write_split(make_engine(), folder / "test", 2)
    os.mkfifo(folder / "pipe")
    return folder


def test_every_kind_of_name(place):
    names = ["talks", "one two.wav", "test#s1", "pipe"]
    found = resolve([*(str(place / n) for n in names), "-", "microphone:2"])
    assert found == (
        AudioFile(place / "talks/a.flac"),
        AudioFile(place / "talks/b.wav"),
        AudioFile(place / "one two.wav"),
        BuiltStream(place / "test", 1),
        Pipe(place / "pipe"),
        Pipe(None),
        MicrophoneInput("2"),
    )
    assert resolve(["microphone"]) == (MicrophoneInput(None),)


def test_a_sequence_of_names(place):
    (place / "list.txt").write_text(
        "talks/b.wav\r\n\n  one two.wav \ntest#0\n", encoding="utf-8-sig"
    )
    assert resolve([str(place / "list.txt")]) == (
        AudioFile(place / "talks/b.wav"),
        AudioFile(place / "one two.wav"),
        BuiltStream(place / "test", 0),
    )


def test_a_sequence_with_pauses(place):
    lines = [{"audio": "one two.wav", "pause_s": 2.5}, {"audio": "talks", "pause_s": 0}]
    (place / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert resolve([str(place / "list.jsonl")]) == (
        AudioFile(place / "one two.wav", 2.5),
        AudioFile(place / "talks/a.flac"),
        AudioFile(place / "talks/b.wav", 0.0),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nothing.wav", r"list\.jsonl:2: is not JSON"),
        ('{"audio": "nothing.wav"}', r"list\.jsonl:2: .*nothing\.wav: no such file"),
        ('{"audio": "one two.wav", "pauze_s": 1}', "pauze_s.*pause_s"),
        ('{"audio": "one two.wav", "pause_s": -1}', "pause_s: must be"),
        ('{"audio": "list.jsonl"}', "a sequence within a sequence"),
        ("[1]", "expected an object"),
    ],
)
def test_wrong_lines_are_named(place, line, message):
    (place / "list.jsonl").write_text('{"audio": "one two.wav"}\n' + line)
    with pytest.raises(UserError, match=message):
        resolve([str(place / "list.jsonl")])


def test_wrong_names_are_refused(place):
    (place / "empty").mkdir(exist_ok=True)
    (place / "list.txt").write_bytes("talk.wav\n".encode("utf-16"))
    for names, message in [
        (["nothing.wav"], "no such file"),
        ([str(place / "talks/notes.txt"), "x"], r"notes\.txt:1: .*no such file"),
        ([str(place / "empty")], "holds no audio file"),
        ([str(place / "test")], "is built data"),
        ([str(place / "test#9")], "no such stream"),
        ([str(place / "test#s7")], "no such stream"),
        ([str(place / "list.txt")], "is not UTF-8"),
        (["-", "-"], "standard input was named twice"),
        (["microphone", "-"], "a microphone never ends"),
        ([], "no audio was named"),
    ]:
        with pytest.raises(UserError, match=message):
            resolve(names)
