"""Recordings through one session: what `soundflow infer` takes in and prints."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from inference.decoder.policy import ModelPolicy
from inference.decoder.sampling import SamplingConfig
from inference.events import Decided, SessionEnded, from_json
from inference.infer.ask import ask
from inference.infer.recipe import InferRecipe
from inference.infer.run import Devices, infer, run_session, with_instruction
from inference.infer.stopping import StopRequest
from inference.profiles import OURS, Profile
from inference.sessions.config import SessionConfig
from inference.sources.names import resolve
from inference.sources.recordings import Reader
from soundflow.api import AudioInteraction
from soundflow.config.load import build
from soundflow.errors import UserError
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import save_checkpoint
from tests.inference.engines import make_engine, write_split

NO_GAP = Profile(silence_s=0.0)
ENGINE = make_engine()
SHORT = SessionConfig(sampling=SamplingConfig(temperature=0.0, max_reply_tokens=4))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("listening")
    facts = TrainingFacts(trained_positions=1024)
    save_checkpoint(folder / "model", ENGINE.model, ENGINE.tokenizer, ENGINE.spec, facts)
    write_split(ENGINE, folder / "test", 3)
    rng = np.random.default_rng(0)
    soundfile.write(folder / "a.wav", rng.normal(0, 0.1, 44_100), 44_100)
    soundfile.write(folder / "b.flac", rng.normal(0, 0.1, 8_000), 16_000)
    return folder


def recipe(place, *audio, **more) -> InferRecipe:
    return InferRecipe(checkpoint=place / "model", audio=audio, session=SHORT, **more)


def events_of(place, *audio, pipe=None, profile=OURS, **more):
    engine = replace(ENGINE, profile=profile)
    return [e for o in outputs_of(engine, recipe(place, *audio, **more), pipe) for e in o.events]


def outputs_of(engine, given, pipe=None):
    reader = Reader(engine.spec, standard_input=pipe or io.BytesIO())
    first, *others = map(reader.open, resolve(given.audio))
    given = with_instruction(given, None if others else first)
    return run_session(engine, given, [first, *others], StopRequest())


class Closed(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_that_went_away_is_no_defect(place, monkeypatch, as_json):
    """As `head -1` does; what the command makes of it is the same for all commands."""
    monkeypatch.setattr("sys.stdout", Closed())
    with pytest.raises(BrokenPipeError):
        infer(recipe(place, str(place / "b.flac")), as_json=as_json)


def test_json_lines_are_the_events(place, capsys):
    infer(recipe(place, str(place / "a.wav")), as_json=True)
    first, *lines = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"event": "recording_started", "name": "a.wav", "time_s": 0.0}
    printed = [from_json(line) for line in lines]
    decided = [e for e in printed if isinstance(e, Decided)]
    assert [e.chunk for e in decided] == list(range(6))  # 1 s padded to 3 chunks, 1 s of silence
    assert [e.time_s for e in decided] == [0.4, 0.8, 1.2, 1.6, 2.0, 2.4]  # where each chunk ends
    assert printed[-1] == SessionEnded(6, 2.4, 6 * 6400)


def test_the_transcript_shows_every_chunk_and_the_truth(place, capsys):
    infer(recipe(place, str(place / "test") + "#1"))
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert sum(" s  LISTENING" in x or " s  SPEAKING" in x for x in lines) == 7
    assert "cue: deserves a reply" in printed
    assert "clink: deserves none" in printed
    assert "real-time factor" in lines[-1]


def test_a_stream_may_be_named_by_id_or_position(place):
    folder = str(place / "test")
    by_id = events_of(place, f"{folder}#s2")
    assert by_id == events_of(place, f"{folder}#2")
    assert by_id[-1].chunks == 8  # a built stream ends in its own silence: none is added


def test_recordings_share_one_session(place):
    events = events_of(place, str(place / "a.wav"), str(place / "b.flac"))
    chunks = [e.chunk for e in events if isinstance(e, Decided)]
    assert all(b == a + 1 for a, b in pairwise(chunks))
    assert isinstance(events[-1], SessionEnded)
    assert sum(isinstance(e, SessionEnded) for e in events) == 1


def test_trailing_drop_leaves_the_incomplete_chunk_out(place):
    kept = events_of(place, str(place / "b.flac"), profile=NO_GAP)
    dropped = events_of(
        place, str(place / "b.flac"), profile=Profile(trailing="drop", silence_s=0.0)
    )
    assert (kept[-1].chunks, dropped[-1].chunks) == (2, 1)


def test_files_are_the_same_from_the_command_line_and_from_python(place):
    for name in ("a.wav", "b.flac", "test#1"):
        audio = str(place / name)
        options = {"temperature": 0.0, "max_reply_tokens": 4}
        assert list(AudioInteraction(ENGINE).stream(audio, **options)) == events_of(place, audio)


def test_limits_that_cannot_hold_a_chunk_are_refused_with_the_number_needed(place):
    def tried(limit):
        config = replace(SHORT, limit_positions=limit)
        given = replace(recipe(place, str(place / "b.flac")), session=config)
        return list(outputs_of(ENGINE, given))

    with pytest.raises(UserError, match=r"limit_positions=10 is too small.* at least (\d+)") as why:
        tried(10)
    needed = int(re.search(r"at least (\d+)", why.value.message)[1])
    with pytest.raises(UserError, match="too small"):
        tried(needed - 1)
    assert tried(needed)


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing.wav", "no such file"), ("test#9", "no such stream"), ("test#s7", "no such stream")],
)
def test_wrong_names_are_refused_before_anything_is_fed(place, name, message):
    with pytest.raises(UserError, match=message):
        events_of(place, str(place / "a.wav"), str(place / name))


def test_a_missing_file_is_told_before_the_checkpoint_is_read(place):
    def read(*_):
        raise AssertionError("the checkpoint was read first")

    with pytest.raises(UserError, match=r"nothing\.wav: no such file"):
        infer(recipe(place, str(place / "nothing.wav")), devices=Devices(read))


def test_no_audio_and_twice_standard_input_are_refused(place):
    with pytest.raises(UserError, match="no audio"):
        events_of(place)
    with pytest.raises(UserError, match="twice"):
        events_of(place, "-", "-")


def test_a_misspelt_key_names_the_right_one():
    tree = {"checkpoint": "x", "session": {"treshold": 0.5}}
    with pytest.raises(UserError, match=r"session\.treshold.*threshold"):
        build(InferRecipe, tree, "live.yaml")
    with pytest.raises(UserError, match="packet_s: must be greater than 0, got -1"):
        build(InferRecipe, {"checkpoint": "x", "packet_s": -1.0}, "live.yaml")


def test_a_threshold_outside_probability_is_refused():
    with pytest.raises(ValueError, match="threshold"):
        ModelPolicy(2.0)


def test_what_cannot_work_is_refused_before_anything_is_heard(place, tmp_path, capsys):
    """A device that is missing is named last; a page is written last."""

    def device(name, rate_hz, packet_s):
        raise UserError("microphone: no such device", "name another one")

    (tmp_path / "file").write_text("in the way")
    devices = Devices(lambda *_: ENGINE, open_microphone=device)
    with pytest.raises(UserError, match="no such device"):
        infer(recipe(place, str(place / "a.wav"), "microphone"), devices=devices)
    page = tmp_path / "file" / "page.html"
    with pytest.raises(UserError, match="cannot be written"):
        infer(recipe(place, str(place / "a.wav")), report=page, devices=devices)
    assert capsys.readouterr().out == ""


def test_a_recording_that_cannot_be_read_leaves_the_others(place, tmp_path, capsys, caplog):
    """It is named at the end with its reason, also where it breaks off in the middle."""
    folder = tmp_path / "talks"
    folder.mkdir()
    sound = (place / "b.flac").read_bytes()
    (folder / "a.flac").write_bytes(sound)
    (folder / "b.wav").write_bytes(b"no sound at all" * 100)
    noise = np.random.default_rng(1).normal(0, 0.1, 80_000)
    soundfile.write(folder / "c.flac", noise, 16_000)
    whole = (folder / "c.flac").read_bytes()
    (folder / "c.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "d.flac").write_bytes(sound)
    devices, page = Devices(lambda *_: ENGINE), tmp_path / "page.html"
    with pytest.raises(UserError, match="2 of 4 recordings could not be read"):
        infer(recipe(place, str(folder)), as_json=True, report=page, devices=devices)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [line["name"] for line in lines if line["event"] == "recording_started"]
    assert names == ["a.flac", "c.flac", "d.flac"]
    failed = {x["name"]: x for x in lines if x["event"] == "recording_failed"}
    assert sorted(failed) == ["b.wav", "c.flac"]
    assert failed["b.wav"]["heard_s"] == 0
    assert 0 < failed["c.flac"]["heard_s"] < 5
    said = [r.getMessage() for r in caplog.records if r.name == "inference.infer.unread"]
    assert [line.split(":")[0].rsplit("/")[-1] for line in said] == ["b.wav", "c.flac"]
    assert all(one["error"] in page.read_text() for one in failed.values())
    # What was heard of them ends as any other recording does.
    (ended,) = (line for line in lines if line["event"] == "session_ended")
    assert ended["chunks"] == sum(line["event"] == "decided" for line in lines)

    with pytest.raises(UserError, match="2 of 4 recordings could not be read"):
        ask(replace(recipe(place, str(folder)), mode="offline"), as_json=True, devices=devices)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [("error" in x, x.get("name", x.get("recording"))) for x in lines] == [
        (False, "a.flac"), (True, "b.wav"), (True, "c.flac"), (False, "d.flac"),
    ]  # fmt: skip


def test_a_session_of_which_nothing_could_be_read_ends_all_the_same(place, tmp_path, capsys):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"no sound at all" * 100)
    page = tmp_path / "page.html"
    with pytest.raises(UserError, match="2 of 2 recordings"):
        infer(recipe(place, str(tmp_path)), report=page, devices=Devices(lambda *_: ENGINE))
    assert "Not read" in page.read_text()
