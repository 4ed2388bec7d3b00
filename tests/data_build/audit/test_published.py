"""Published conversations can be audited."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundflow.cli import main
from soundflow.interop.conversations import NO_RESPONSE


def conversation(folder: Path, name: str, *turns: tuple[str, str], silent: bool = False) -> str:
    """A line of StreamAudio-2M, with a second of sound for each turn."""
    rows = []
    for number, (user, assistant) in enumerate(turns):
        path = Path("audio") / f"{name}-{number}.wav"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        sound = 0.1 * np.sin(np.arange(16_000)) * (not silent)
        soundfile.write(folder / path, sound, 16_000)
        rows.append({
            "user": user, "assistant": assistant, "emotion": "happy", "scene_type": "chat",
            "audio_path": str(path),
        })  # fmt: skip
    return json.dumps(
        {"id": name, "stream_scene_type": "voice_chat", "num_turns": len(rows), "turns": rows}
    )


def scorecard(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, float]:
    capsys.readouterr()
    main(["audit", str(folder), "--json", *words])
    card = json.loads(capsys.readouterr().out)
    return {figure["name"]: figure["value"] for figure in card["figures"]}


def test_conversations_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked, rain = ("Where is it?", "There."), ("rain", NO_RESPONSE)
    lines = [conversation(tmp_path, "a", asked, rain), conversation(tmp_path, "b", rain)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n")
    found = scorecard(tmp_path, capsys)
    assert found["mean length"] == 1.5
    assert found["streams without a reply"] == 0.5
    assert found["emotion happy"] == 1
    assert found["inaudible events"] == found["contradictions"] == 0
    assert main(["audit", str(tmp_path)]) == 0

    ignored = conversation(tmp_path, "c", ("Where is it?", NO_RESPONSE), silent=True)
    (tmp_path / "test.jsonl").write_text(ignored + "\n")
    found = scorecard(tmp_path, capsys)
    assert found["contradictions"] > 0
    assert found["inaudible events"] == 0.25
    assert found["leaks by text"] == 1
    assert main(["audit", str(tmp_path)]) == 2
    told = capsys.readouterr().out
    assert "nothing to judge" in told  # nothing is known of speakers


def test_settings_are_those_of_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.jsonl").write_text(conversation(tmp_path, "a", ("Hi.", "Hello.")) + "\n")
    assert main(["audit", str(tmp_path), "audit.leeks=1"]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main(["audit", str(tmp_path / "nothing")]) == 2
    assert "neither a finished split nor" in capsys.readouterr().err


def test_a_recording_that_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.jsonl").write_text(conversation(tmp_path, "a", ("Hi.", "Hello.")) + "\n")
    (tmp_path / "audio" / "a-0.wav").unlink()
    assert main(["audit", str(tmp_path)]) == 2
    assert "a-0.wav" in capsys.readouterr().err
