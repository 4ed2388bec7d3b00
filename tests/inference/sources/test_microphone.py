"""A microphone: through the seam with a device of our own, and PortAudio's real binding."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from inference.sources import microphone
from inference.sources.microphone import OpenedMicrophone, open_microphone
from inference.sources.names import MicrophoneInput
from inference.sources.recordings import Reader
from soundflow.errors import UserError
from tests.inference.engines import make_engine

TONE = (0.3 * np.sin(0.05 * np.arange(48_000))).astype(np.float32)


def test_a_device_of_another_rate_is_resampled():
    asked = []

    def device(name, rate_hz, packet_s):
        asked.append((name, rate_hz, packet_s))
        return OpenedMicrophone("fake", iter(np.array_split(TONE, 10)), 48_000)

    reader = Reader(make_engine().spec, 0.1, open_microphone=device)
    recording = reader.open(MicrophoneInput("USB"))
    assert asked == [("USB", 16_000, 0.1)]
    assert (recording.name, recording.live, recording.pause_s) == ("fake", True, 0.0)
    assert len(np.concatenate(list(recording.blocks))) == 16_000


def test_missing_libraries_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match=r"sounddevice.* is not installed") as why:
        open_microphone(None, 16_000, 0.1)
    assert "[microphone]" in why.value.hint


class PortAudio:
    """The part of `sounddevice` that is used, with two devices; the second knows 44.1 kHz only."""

    class PortAudioError(Exception):
        pass

    devices = (
        {"name": "Built-in", "max_input_channels": 2, "default_samplerate": 48_000.0},
        {"name": "USB mic", "max_input_channels": 1, "default_samplerate": 44_100.0},
        {"name": "Speaker", "max_input_channels": 0, "default_samplerate": 48_000.0},
    )

    def query_devices(self, device=None, kind=None):
        if kind is None:
            return self.devices
        for number, one in enumerate(self.devices):
            if device in (None, number) or str(device) in one["name"]:
                return one
        raise ValueError(f"No input device matching {device!r}")

    def check_input_settings(self, *, device, channels, samplerate):
        if device == "USB" and samplerate != 44_100:
            raise self.PortAudioError("Invalid sample rate")

    class InputStream:
        closed = False

        def __init__(self, *, samplerate, device, channels, dtype, blocksize, callback):
            buffer = np.zeros((blocksize, channels), dtype)
            for value in (0.1, 0.2, 0.3):  # one buffer, used again
                buffer[:] = value
                callback(buffer, blocksize, None, SimpleNamespace(input_overflow=value == 0.3))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            type(self).closed = True


def test_packets_come_from_the_callback(monkeypatch, caplog):
    monkeypatch.setattr(microphone, "_portaudio", PortAudio)
    opened = open_microphone("USB", 16_000, 0.1)
    assert (opened.name, opened.rate_hz) == ("USB mic", 44_100)
    packets = [next(opened.blocks) for _ in range(3)]
    assert [(len(p), round(float(p[0]), 3)) for p in packets] == [
        (4410, 0.1),
        (4410, 0.2),
        (4410, 0.3),
    ]
    assert "some audio is lost" in caplog.text
    opened.blocks.close()
    assert PortAudio.InputStream.closed
    assert open_microphone("0", 16_000, 0.1).rate_hz == 16_000
    with pytest.raises(UserError, match="No input device matching 'none'") as why:
        open_microphone("none", 16_000, 0.1)
    assert why.value.hint == "input devices: 0 Built-in; 1 USB mic"
