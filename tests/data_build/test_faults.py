"""What breaks from outside: a chat server that dies, a worker that is killed. The build resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_build.recipe import BuildRecipe
from data_build.run import build
from soundflow.config.load import load
from soundflow.errors import UserError
from soundflow.shards.reader import ShardSet
from tests.data_build.small_recipe import fingerprints, write_recipe
from tests.soundflow.endpoints.chat_server import Raw, Say

pytest.importorskip("py_nanotts")
ROOT = Path(__file__).resolve().parents[2]


def chat_recipe(folder: Path, output: Path) -> Path:
    """Texts whose numbers the model is asked to spell out; three streams a shard."""
    texts = folder / "texts.jsonl"
    rows = [
        {"turns": [{"user": f"I have {n} apples.", "assistant": "Good."}]} for n in range(2, 30)
    ]
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / f"{output.name}.yaml"
    path.write_text(
        f"output: {output}\ntexts: [{texts}]\nworkers: 1\nstreams_per_shard: 3\n"
        "splits: {train: {streams: 12, voices: 1, tasks: {answer_facts: 1.0}}}\n"
        "speech: {pool: {voices: ['pico:en-US']}, asr_models: {}}\n"
        "llm: {decisions: [rewrite]}\n"
        "tasks: {dialogue: {turns: [1, 1]}}\n"
    )
    return path


def load_with(path: Path, url: str) -> BuildRecipe:
    words = [f"llm.chat.endpoint={{base_url: '{url}', retries: 1, backoff_s: 0.01, timeout_s: 20}}"]
    return load(path, BuildRecipe, words)


def rewrite(number: int, body: dict) -> Say:
    text = body["messages"][-1]["content"]
    count = next(n for n in range(29, 1, -1) if f"I have {n} apples" in text)
    change = {"rule": "number", "before": str(count), "after": "many"}
    return Say({"text": f"I have {'many ' * (count % 7)}apples.", "changes": [change]})


def test_a_server_that_dies_stops_the_build_and_the_same_command_goes_on(
    chat_server, tmp_path: Path
) -> None:
    path = chat_recipe(tmp_path, tmp_path / "whole")
    build(load_with(path, chat_server(rewrite).url))

    dying = chat_server(rewrite)
    path = chat_recipe(tmp_path, tmp_path / "data")

    def until_gone(number: int, body: dict) -> Say | Raw:
        if number >= 6:
            dying.stop()
        return rewrite(number, body)

    dying.answer = until_gone
    with pytest.raises(UserError, match="has stopped answering: ") as error:
        build(load_with(path, dying.url))
    assert "run the same command" in error.value.hint
    made = list((tmp_path / "data").rglob("*.tar"))
    assert 0 < len(made) < 4
    assert not (tmp_path / "data" / "train" / "index.json").exists()
    times = {p: p.stat().st_mtime_ns for p in made}

    again = chat_server(rewrite)  # at another address
    summary = build(load_with(path, again.url))
    assert summary.shards_kept == len(made)
    assert {p: p.stat().st_mtime_ns for p in made} == times
    assert fingerprints(tmp_path / "data") == fingerprints(tmp_path / "whole")
    assert len(again.bodies) < 28  # what was answered once is not asked again


def test_bad_answers_drop_their_items_and_the_build_goes_on(chat_server, tmp_path: Path) -> None:
    def moody(number: int, body: dict) -> Say | Raw:
        if "I have 7 apples" in body["messages"][-1]["content"]:
            return Say({"wrong": "schema"})
        return Raw(500) if number % 5 == 1 else rewrite(number, body)

    path = chat_recipe(tmp_path, tmp_path / "data")
    recipe = load_with(path, chat_server(moody).url)
    summary = build(recipe)
    assert summary.streams == 12
    assert all(reason.startswith("speech: ") for reason in summary.drops)


def curator(number: int, body: dict) -> Say:
    """A model that plans one scene, refines its sounds, and finds every clip fine."""
    schema, question = (m["content"] for m in body["messages"])
    if '"scenes"' in schema:
        events = [
            {"source": None, "sound": sound, "role": role, "duration_s": 2.0, "description": what}
            for sound, role, what in (
                ("Doorbell", "foreground", "the bell rings"),
                ("Walk, footsteps", "foreground", "steps to the door"),
                ("Rain", "ambient", "rain on the window"),
            )
        ]
        scene = {"sentence": "In the evening rain falls while somebody calls.",
                 "location": "in a living room", "place": "inside", "time_of_day": "evening",
                 "events": events}  # fmt: skip
        return Say({"scenes": [scene]})
    if '"query"' in schema:
        sound = next(n for n in ("Doorbell", "Walk, footsteps", "Rain") if n in question)
        return Say({"query": f"the sound of {sound}", "caption": f"a clear {sound} sound",
                    "tags": [sound]})  # fmt: skip
    names = ("identity", "cleanliness", "duration", "continuity")
    return Say({name: {"outcome": "pass", "reason": "fine"} for name in names})


def test_a_chat_model_plans_refines_and_verifies_the_scenes_of_a_build(
    chat_server, tmp_path: Path
) -> None:
    path = tmp_path / "scenes.yaml"
    path.write_text(
        f"output: {tmp_path / 'data'}\nworkers: 1\n"
        "synthetic: {sounds: [door_bell, footsteps, rain]}\n"
        "splits: {train: {streams: 3, voices: 1, tasks: {ask_about_scene: 1.0}}}\n"
        "speech: {pool: {voices: ['pico:en-US']}, asr_models: {}}\n"
        "llm: {decisions: [plan, refine, verify]}\n"
    )
    server = chat_server(curator)
    assert build(load_with(path, server.url)).streams == 3
    shards = ShardSet(tmp_path / "data" / "train")
    for position in range(3):
        scene = shards.record(position).provenance["notes"]["scene"]
        assert "plan_scene" in json.dumps(scene["scene"]["made_by"])
        for event in scene["events"]:
            assert "refine_event" in json.dumps(event["refined"]["made_by"])
            assert "verify_clip" in json.dumps(event["verification"]["made_by"])
    asked = len(server.bodies)
    assert asked
    (tmp_path / "data" / "train" / "000000.json").unlink()  # made again, from the answers kept
    again = chat_server(curator)
    build(load_with(path, again.url))
    assert again.bodies == []


def test_a_killed_worker_is_said_and_the_same_command_goes_on(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, tmp_path / "whole")
    build(load(path, BuildRecipe, ["workers=1", "splits.train.streams=40"]))
    path = write_recipe(tmp_path, tmp_path / "data")
    words = [sys.executable, "-m", "soundflow.cli", "build-data", str(path), "workers=2",
             "splits.train.streams=40"]  # fmt: skip
    running = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    shards = tmp_path / "data" / "train"
    deadline = time.monotonic() + 120
    while not list(shards.glob("*.tar")) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = children(running.pid)
    assert workers
    os.kill(workers[-1], signal.SIGKILL)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 2
    assert "a worker process was killed" in said
    assert not (shards / "index.json").exists()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert fingerprints(tmp_path / "data") == fingerprints(tmp_path / "whole")


def children(pid: int) -> list[int]:
    """The build workers of a process (not its resource tracker)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes()
            except (OSError, ValueError, IndexError):
                continue
            if parent == pid and b"spawn_main" in command:
                found.append(int(entry.name))
    return sorted(found)
