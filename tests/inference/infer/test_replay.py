"""A recorded session replays to the same events; a different one is told."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from inference.decoder.sampling import SamplingConfig
from inference.events import Decided
from inference.infer.recipe import InferRecipe
from inference.infer.replay import comparison_lines
from inference.infer.run import Devices, infer, replay_session
from inference.infer.session_record import (
    AUDIO,
    EVENTS,
    HEADER,
    claim_folder,
    read_session,
    recordable,
)
from inference.sessions.config import SessionConfig
from soundflow.cli import main
from soundflow.errors import UserError
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import save_checkpoint
from tests.inference.engines import make_engine

ENGINE = make_engine()
DEVICES = Devices(lambda *_: ENGINE, io.BytesIO())
SAMPLED = SessionConfig(sampling=SamplingConfig(temperature=1.0, max_reply_tokens=4, seed=5))


@pytest.fixture(scope="module")
def talk(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    audio = 0.3 * np.random.default_rng(0).standard_normal(3 * 44_100)
    soundfile.write(path, audio.clip(-1, 1), 44_100, subtype="FLOAT")
    return path


@pytest.fixture
def folder(talk, tmp_path, capsys) -> Path:
    recipe = InferRecipe(checkpoint=Path("any"), audio=(str(talk),), session=SAMPLED)
    infer(recipe, record=tmp_path / "session", devices=DEVICES)
    capsys.readouterr()
    return tmp_path / "session"


def test_a_replay_gives_the_same_events(folder):
    recorded = read_session(folder)
    assert recorded.complete
    assert sum(recorded.packets) == recorded.events[-1].n_samples
    found = replay_session(folder, Path("any"), devices=DEVICES)
    assert (found.events, found.first, found.other_decisions) == (len(recorded.events), None, 0)
    assert comparison_lines(found) == [f"{found.events} events compared: the same"]


def test_a_session_in_real_time_replays_with_its_schedule(talk, tmp_path, capsys):
    """Slow tokens, so that chunks go stale while the model speaks."""
    stock = ENGINE.model.logits

    def slow(hidden):
        time.sleep(0.15)
        return stock(hidden)

    recipe = InferRecipe(
        checkpoint=Path("any"), audio=(str(talk),), session=replace(SAMPLED, threshold=0.3),
        real_time=True,
    )  # fmt: skip
    ENGINE.model.logits = slow
    try:
        infer(recipe, record=tmp_path / "live", devices=DEVICES)
    finally:
        del ENGINE.model.logits
    recorded = read_session(tmp_path / "live")
    stale = sum(e.stale for e in recorded.events if isinstance(e, Decided))
    found = replay_session(tmp_path / "live", Path("any"), devices=DEVICES)
    assert comparison_lines(found) == [f"{len(recorded.events)} events compared: the same"]
    assert stale > 0


def test_the_audio_on_disk_is_what_the_session_was_given(folder):
    recorded = read_session(folder)
    audio = np.concatenate(list(recorded.audio()))
    assert len(audio) == sum(recorded.packets)
    assert np.array_equal(recordable(audio), audio)
    assert soundfile.info(folder / AUDIO).subtype == "PCM_24"
    header = json.loads((folder / HEADER).read_text())
    assert header["recipe"]["session"]["threshold"] == 0.5  # settled, though it was left open
    lines = [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]
    arrivals = [line["arrived_s"] for line in lines if "packet" in line]
    assert arrivals == sorted(arrivals)
    assert lines[0] == {"event": "recording_started", "name": "talk.wav", "time_s": 0.0}


@pytest.mark.parametrize("lost_bytes", [0, 30_000])
def test_what_a_kill_leaves_replays_as_far_as_it_goes(folder, lost_bytes):
    lines = (folder / EVENTS).read_text().splitlines(keepends=True)
    kept = len(lines) * 2 // 3
    (folder / EVENTS).write_text("".join(lines[:kept]) + lines[kept][:5])
    audio = (folder / AUDIO).read_bytes()
    # A header that was never completed, and a last frame that is not whole.
    unset = audio[:21] + bytes([audio[21] & 0xF0]) + bytes(4) + bytes(16) + audio[42:]
    (folder / AUDIO).write_bytes(unset[: len(unset) - lost_bytes])
    recorded = read_session(folder)
    assert not recorded.complete
    found = replay_session(folder, Path("any"), devices=DEVICES)
    assert found.first is None
    assert 0 < found.events <= len(recorded.events)
    if not lost_bytes:
        assert found.events == len(recorded.events)
    assert "breaks off there: the same" in comparison_lines(found)[0]


def test_the_first_difference_is_told(folder):
    lines = (folder / EVENTS).read_text().splitlines()
    at = next(i for i, x in enumerate(lines) if '"decided"' in x and '"chunk": 3' in x)
    event = json.loads(lines[at])
    event["p_response"] += 0.01
    (folder / EVENTS).write_text("\n".join([*lines[:at], json.dumps(event), *lines[at + 1 :], ""]))
    found = replay_session(folder, Path("any"), devices=DEVICES)
    assert isinstance(found.first.recorded, Decided)
    assert found.first.recorded.chunk == found.first.replayed.chunk == 3
    assert "first difference at 1.6 s:" in comparison_lines(found)


def test_another_checkpoint_is_refused_unless_asked_to_compare(folder):
    other = Devices(lambda *_: make_engine(seed=1))
    with pytest.raises(UserError, match=r"another checkpoint: weights \w+ -> \w+\n"):
        replay_session(folder, Path("any"), devices=other)
    found = replay_session(folder, Path("any"), to_compare=True, devices=other)
    assert found.decisions == 11
    assert found.largest_gap > 1e-3
    half = Devices(lambda *_: replace(ENGINE, spec=replace(ENGINE.spec, layout_version=99)))
    with pytest.raises(UserError, match="checkpoint: spec "):
        replay_session(folder, Path("any"), devices=half)


def test_other_settings_are_for_comparing_only(folder):
    words = ["session.threshold=1.0"]
    with pytest.raises(UserError, match="takes its settings from the recording"):
        replay_session(folder, Path("any"), settings=words, devices=DEVICES)
    found = replay_session(folder, Path("any"), settings=words, to_compare=True, devices=DEVICES)
    silent = replay_session(
        folder, Path("any"), settings=["session.threshold=0.0"], to_compare=True, devices=DEVICES
    )
    assert found.other_decisions + silent.other_decisions == found.decisions


def test_a_folder_of_something_else_is_neither_overwritten_nor_replayed(talk, tmp_path):
    (tmp_path / "thesis.tex").write_text("important")
    recipe = InferRecipe(checkpoint=Path("any"), audio=(str(talk),))
    with pytest.raises(UserError, match="which SoundFlow did not make"):
        infer(recipe, record=tmp_path, devices=DEVICES)
    with pytest.raises(UserError, match="is no recorded session"):
        replay_session(tmp_path, Path("any"), devices=DEVICES)


def test_on_the_command_line(talk, tmp_path, capsys):
    model, folder = str(tmp_path / "model"), str(tmp_path / "session")
    facts = TrainingFacts(1024)
    save_checkpoint(model, ENGINE.model, ENGINE.tokenizer, ENGINE.spec, facts)
    words = ["infer", model, "--record", folder, str(talk), "--json", "precision=fp32"]
    assert main(words) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "session_ended"
    assert main(["infer", model, "--replay", folder]) == 0
    assert f"{len(events) - 1} events compared: the same" in capsys.readouterr().out
    assert main(["infer", model, "--replay", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["first"] is None
    changed = ["session.threshold=0.9", "--compare"]
    assert main(["infer", model, "--replay", folder, *changed]) == 0
    lines = Path(folder, EVENTS).read_text().splitlines(keepends=True)
    Path(folder, EVENTS).write_text("".join(x for x in lines if '"chunk": 1,' not in x))
    capsys.readouterr()
    assert main(["infer", model, "--replay", folder]) == 1
    assert "first difference at" in capsys.readouterr().out
    assert main(["infer", model, "--replay", folder, str(talk)]) == 2
    assert main(["infer", model, "--compare", str(talk)]) == 2


def test_a_recorded_session_is_not_recorded_over(tmp_path: Path) -> None:
    claim_folder(tmp_path / "s")
    (tmp_path / "s" / HEADER).write_text("{}")
    with pytest.raises(UserError, match="holds a recorded session"):
        claim_folder(tmp_path / "s")
