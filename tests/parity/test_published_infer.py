"""`soundflow infer` on a release folder, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.events import Decided, ReplyEnded, SessionEnded, from_json
from soundflow.cli import main

ROOT = Path(__file__).resolve().parents[2]
WAVS = ("a_question_3s", "b_translate_3s", "c_music_5s")


def _replies(goldens: Path, name: str) -> list[str]:
    return json.loads((goldens / "sessions.json").read_text())[name]["reply_text"]


def _infer(capsys: pytest.CaptureFixture[str], *words: str) -> list[object]:
    assert main(["infer", *words, "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [from_json(event) for event in events if event["event"] != "recording_started"]


def test_a_release_folder_directly(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goldens = shared / "goldens"
    wav = str(goldens / "wavs/b_translate_3s.wav")
    greedy = "session.sampling.temperature=0"
    events = _infer(capsys, str(goldens / "ckpt"), wav, "profile=published", greedy)
    told = [e.text for e in events if isinstance(e, ReplyEnded)]
    assert told == _replies(goldens, "b_translate_3s")
    ours = _infer(capsys, str(goldens / "ckpt"), wav, greedy)
    assert sum(isinstance(e, Decided) for e in ours) == 11  # the same chunks, taken in our way
    assert ours != events


def test_the_published_recipe_and_its_session_of_three(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goldens = shared / "goldens"
    wavs = [str(goldens / f"wavs/{name}.wav") for name in WAVS]
    words = [f"checkpoint={goldens / 'ckpt'}", "session.sampling.temperature=0"]
    events = _infer(capsys, str(ROOT / "recipes/infer/published.yaml"), *wavs, *words)
    turns = json.loads((goldens / "sessions.json").read_text())["session_abc"]["turns"]
    assert sum(isinstance(e, ReplyEnded) for e in events) == sum(len(t) > 1 for t in turns)
    speaks = [e.speak for e in events if isinstance(e, Decided)]
    assert speaks == [len(t) > 1 for t in turns]


def test_the_published_live_server_drops_the_rest(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goldens = shared / "goldens"
    wav = str(goldens / "wavs/a_question_3s.wav")  # 8.36 chunks
    recipe = str(ROOT / "recipes/infer/published_live.yaml")
    events = _infer(capsys, recipe, wav, f"checkpoint={goldens / 'ckpt'}")
    assert events[-1] == SessionEnded(8, 3.2, 8 * 6400)
