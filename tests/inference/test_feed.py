"""From a recording to packets under a profile."""

from __future__ import annotations

import io
import json
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from inference.events import Decided
from inference.feed import feed, feed_live, packets
from inference.profiles import PUBLISHED, PUBLISHED_LIVE, Profile
from inference.sessions.config import SessionConfig
from inference.sessions.lockstep import Lockstep
from inference.sources.names import resolve
from inference.sources.pipes import pipe_blocks
from inference.sources.recordings import Reader, Recording, samples_recording
from soundflow.audio.decode import BLOCK_SAMPLES, _SoundfileSource
from soundflow.cli import main
from soundflow.errors import UserError
from soundflow.model.weights import TrainingFacts, save_checkpoint
from soundflow.protocol.timebase import TimeBase
from tests.inference.engines import make_engine

TIME = TimeBase()
ENGINE = make_engine()
CHUNK = TIME.chunk_samples
TONE = (0.3 * np.sin(0.2 * np.arange(2 * CHUNK + 700))).astype(np.float32)


def recording(blocks=3, **more) -> Recording:
    return Recording("tone", iter(np.array_split(TONE, blocks)), **more)


def fed(profile: Profile, **more) -> np.ndarray:
    return np.concatenate(list(packets(recording(**more), profile, TIME)))


def opened(names, pipe=None) -> list[Recording]:
    reader = Reader(ENGINE.spec, standard_input=pipe or io.BytesIO())
    return [reader.open(source) for source in resolve(names)]


@pytest.mark.parametrize("blocks", [1, 7, 900])
def test_padding_and_a_second_of_silence_in_whole_chunks(blocks):
    whole = fed(Profile(), blocks=blocks)
    assert len(whole) == 3 * CHUNK + 3 * CHUNK
    assert np.array_equal(whole[: len(TONE)], TONE)
    assert not whole[len(TONE) :].any()
    assert len(fed(Profile(silence_s=0.0), blocks=blocks)) == 3 * CHUNK


@pytest.mark.parametrize("blocks", [1, 7, 900])
def test_the_published_live_server_drops_the_incomplete_chunk(blocks):
    assert np.array_equal(fed(PUBLISHED_LIVE, blocks=blocks), TONE[: 2 * CHUNK])


def test_a_clip_maximum_takes_whole_recordings():
    parts = list(packets(recording(), PUBLISHED, TIME))
    assert [len(p) for p in parts] == [3 * CHUNK, CHUNK, CHUNK, CHUNK]


def test_built_streams_end_in_their_own_silence():
    assert len(fed(Profile(), pause_s=0.0)) == 3 * CHUNK


def test_a_live_source_under_a_clip_maximum_is_refused():
    session = Lockstep(replace(ENGINE, profile=PUBLISHED))
    with pytest.raises(UserError, match="takes whole recordings"):
        session.push(TONE)


def test_real_time_pushes_every_packet_when_it_would_have_arrived():
    now, pushed = 5.0, []

    class Handle:
        """A live session in which nothing happens, on a clock of its own."""

        def events(self, timeout_s):
            nonlocal now
            now += timeout_s or 0.0
            return iter(())

        def push(self, packet):
            pushed.append(now - 5.0)

        def close(self):
            pushed.append("closed")

    one = Recording("x", iter([np.zeros(8000, np.float32), np.zeros(4000, np.float32)]))
    list(feed_live(ENGINE, Handle(), [one], clock=lambda: now))
    # Two blocks, the padding to the next chunk, a second of silence in whole chunks.
    assert pushed[:-1] == pytest.approx([0.5, 0.75, 0.8, 1.2, 1.6, 2.0])
    assert pushed[-1] == "closed"


def test_samples_of_any_rate_and_shape():
    stereo = np.stack([TONE, TONE], axis=1)
    parts = np.array_split((stereo * 32767).astype(np.int16), 5)
    (found,) = {len(np.concatenate(list(samples_recording("x", parts, 8000, 16_000).blocks)))}
    assert abs(found - 2 * len(TONE)) <= 1
    with pytest.raises(UserError, match=r"shape \(n,\) or \(n, channels\)"):
        list(samples_recording("x", [TONE.reshape(1, 1, -1)], 16_000, 16_000).blocks)


# Pipes: standard input, FIFOs, process substitution.

PCM = (TONE * 32767).astype("<i2")


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, PCM, 16_000, format=form)
    return buffer.getvalue()


class Slow(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self._data.read(min(len(buffer), 777))
        buffer[: len(data)] = data
        return len(data)


def piped(data: bytes, rate_hz: int = 16_000) -> np.ndarray:
    pipe = io.BufferedReader(Slow(data))
    return np.concatenate(
        list(pipe_blocks(pipe, "standard input", 16_000, pcm_rate_hz=rate_hz, packet_s=0.1))
    )


@pytest.mark.parametrize(
    ("channels", "warning"),
    [
        ((1.0, -1.0), "channels cancel each other: channel 1 is used alone"),
        ((1.0, 0.0), "channel 2 is silent: used 1"),
        ((1.0, 1.0), ""),
    ],
)
@pytest.mark.parametrize("way", ["file", "pipe", "array"])
def test_channels_that_cancel_or_are_dead_are_named_and_left_out(
    tmp_path, caplog, way, channels, warning
):
    late = np.concatenate((np.zeros(4000, np.float32), np.tile(TONE, 3)))
    stereo = np.stack([gain * late for gain in channels], axis=1)
    soundfile.write(tmp_path / "x.wav", stereo, 16_000, subtype="FLOAT")
    if way == "array":
        one = samples_recording("x.wav", np.array_split(stereo, 50), 16_000, 16_000)
    else:
        name = "-" if way == "pipe" else str(tmp_path / "x.wav")
        pipe = io.BytesIO((tmp_path / "x.wav").read_bytes())
        (one,) = opened([name], pipe)
    assert np.allclose(np.concatenate(list(one.blocks)), late, atol=1e-6)
    said = [r.getMessage() for r in caplog.records]
    assert [warning in line for line in said] == ([True] if warning else [])


def test_files_are_read_as_they_are_heard(tmp_path, monkeypatch):
    """Looked at before the session, opened when their turn comes, decoded as far as asked for."""
    soundfile.write(tmp_path / "a.flac", np.tile(TONE, 40), 16_000)
    soundfile.write(tmp_path / "b.wav", np.stack([np.tile(TONE, 40)] * 2, axis=1), 16_000)
    sources = resolve([str(tmp_path / "a.flac"), str(tmp_path / "b.wav")])
    decoded = []
    stock = _SoundfileSource.blocks

    def counted(self, start, stop):
        for block in stock(self, start, stop):
            decoded.append(len(block))
            yield block

    monkeypatch.setattr(_SoundfileSource, "blocks", counted)
    first, second = map(Reader(ENGINE.spec, packet_s=0.25).open, sources)
    assert {len(next(first.blocks)) for _ in range(5)} == {4000}
    assert sum(decoded) <= BLOCK_SAMPLES
    decoded.clear()
    next(second.blocks)  # two channels: its first second decides
    assert sum(decoded) <= BLOCK_SAMPLES


def test_a_recording_alone_that_cannot_be_read_is_refused_at_once(tmp_path):
    """Of several, the others are worth hearing."""
    soundfile.write(tmp_path / "good.flac", TONE, 16_000)
    (tmp_path / "bad.wav").write_bytes(b"RIFF, but no more than that")
    with pytest.raises(UserError, match=r"bad\.wav: cannot be decoded"):
        resolve([str(tmp_path / "bad.wav")])
    assert len(resolve([str(tmp_path)])) == 2


def test_raw_pcm_is_read_as_it_is():
    assert np.array_equal(piped(PCM.tobytes()), PCM.astype(np.float32) / 32768)
    assert abs(len(piped(PCM.tobytes(), 8000)) - 2 * len(PCM)) <= 1


@pytest.mark.parametrize("form", ["WAV", "FLAC", "AIFF"])
def test_files_on_a_pipe_are_told_by_their_content(form):
    assert np.array_equal(piped(encoded(form)), PCM.astype(np.float32) / 32768)


@pytest.mark.parametrize("form", ["OGG", "MP3"])
def test_compressed_files_on_a_pipe(form):
    found = piped(encoded(form))
    assert abs(len(found) - len(PCM)) < 3000  # an MP3 carries the padding of its encoder
    assert np.abs(found).max() == pytest.approx(0.3, abs=0.05)


def test_an_mp3_without_a_tag_is_no_pcm():
    bare = encoded("MP3")
    assert bare[:3] != b"ID3"
    assert np.abs(piped(bare)).max() == pytest.approx(0.3, abs=0.05)
    # PCM that happens to begin like a frame is PCM: no second frame follows where one would end.
    pcm = bare[:4] + PCM.tobytes()
    assert len(piped(pcm)) == len(pcm) // 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"standard input: is empty \(0 bytes\)"),
        (b"\1\2\3", "ends inside a 16-bit sample"),
        (b"RIFF\0\0\0\0WAVEjunkjunkjunk", "cannot be decoded"),
    ],
)
def test_pipes_that_hold_no_audio_are_refused(data, message):
    with pytest.raises(UserError, match=message):
        piped(data)


@pytest.mark.parametrize("data", [PCM.tobytes(), encoded("WAV")])
def test_a_fifo_is_a_recording(tmp_path, data):
    fifo = tmp_path / "talk"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(data,))
    (one,) = opened([str(fifo)])
    writer.start()
    found = np.concatenate(list(one.blocks))
    writer.join()
    assert np.array_equal(found, PCM.astype(np.float32) / 32768)


def test_a_file_of_raw_samples_goes_by_its_suffix(tmp_path):
    raw = tmp_path / "talk.pcm"
    raw.write_bytes(PCM.tobytes())
    (one,) = opened([str(raw)])
    assert np.array_equal(np.concatenate(list(one.blocks)), PCM.astype(np.float32) / 32768)


def test_files_and_pipes_on_the_command_line(tmp_path, capsys, monkeypatch):
    """What bash makes of ``<(cat talk.wav)`` is ``/dev/fd/N``, a pipe."""
    model = str(tmp_path / "model")
    facts = TrainingFacts(1024)
    save_checkpoint(model, ENGINE.model, ENGINE.tokenizer, ENGINE.spec, facts)
    talk = tmp_path / "talk.wav"
    soundfile.write(talk, PCM, 16_000)

    def printed(audio):
        assert main(["infer", model, "--json", audio, "precision=fp32"]) == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert events.pop(0)["event"] == "recording_started"
        return [(e["time_s"], e.get("p_response")) for e in events]

    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(talk.read_bytes())  # fits into the buffer of a pipe
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(talk.read_bytes())))
    outputs = [printed(audio) for audio in (str(talk), f"/dev/fd/{reading}", "-")]
    os.close(reading)
    assert outputs[0] == outputs[1] == outputs[2]
    assert len([p for _, p in outputs[0] if p is not None]) == 6
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    assert main(["infer", model, "--json", "-"]) == 2
    assert "standard input: is empty" in capsys.readouterr().err


def test_events_of_a_pipe_and_of_the_file_agree():
    def events(one: Recording):
        config = SessionConfig(threshold=1.0)
        return [e for o in feed(ENGINE, Lockstep(ENGINE, config), [one]) for e in o.events]

    raw = io.BytesIO(PCM.tobytes())
    (pipe,) = opened(["-"], raw)
    array = samples_recording("array", [PCM], 16_000, 16_000)
    found = events(pipe)
    assert found == events(array)
    assert sum(isinstance(e, Decided) for e in found) == 6
