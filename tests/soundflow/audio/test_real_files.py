"""What real encoders write is read whole, in part, joined, and through pipes."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import correlate

from soundflow.audio.files import AudioBlocks, AudioError, duration_s, read_audio
from soundflow.errors import UserError
from tests.soundflow.audio.encoded import FORMATS, RATE, Float32, chirps, encode


def likeness(audio: Float32, wanted: Float32) -> float:
    """The highest correlation of ``wanted`` with any place of ``audio``."""
    products = correlate(audio, wanted, "valid", "fft")
    powers = np.cumsum(np.square(audio, dtype=np.float64))
    spans = powers[len(wanted) - 1 :] - np.concatenate(([0.0], powers[: -len(wanted)]))
    return float((products / np.sqrt(spans * np.square(wanted).sum())).max())


@pytest.mark.parametrize("name", FORMATS)
def test_read_to_the_end(name: str, files: dict[str, Path], signal: Float32) -> None:
    audio = read_audio(files[name])
    assert 0 <= len(audio) - len(signal) <= FORMATS[name][3]
    # The encoder's delay moves the audio by at most its padding.
    assert likeness(audio[: 40_000 + FORMATS[name][3]], signal[:40_000]) > 0.9
    assert duration_s(files[name]) == pytest.approx(len(audio) / RATE, abs=1e-4)
    assert np.array_equal(read_audio(files[name].read_bytes()), audio)


@pytest.mark.parametrize("name", FORMATS)
def test_a_part_is_that_part_of_the_whole(name: str, files: dict[str, Path]) -> None:
    whole = read_audio(files[name])
    part = read_audio(files[name], start_s=3.01, end_s=4.5)
    assert len(part) == round(1.49 * RATE)
    # At its edges the resampler (Opus decodes at 48 kHz) knows only the part.
    inner = slice(200, len(part) - 200)
    assert np.allclose(part[inner], whole[48_160:72_000][inner], atol=1e-4)


@pytest.mark.parametrize(
    "name", ["mp3", "mp3 without a Xing header", "aac", "ogg", "flac in ogg", "flac", "webm"]
)
def test_joined_files_are_read_whole(name: str, tmp_path: Path, signal: Float32) -> None:
    container, codec, options, extra = FORMATS[name]
    other = chirps(RATE, 4.0, seed=1)
    first = encode(tmp_path / "1.bin", signal, RATE, container, codec, options)
    second = encode(tmp_path / "2.bin", other, RATE, container, codec, options)
    joined = tmp_path / "joined.bin"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    audio = read_audio(joined)
    both = len(signal) + len(other)
    assert both - 2000 <= len(audio) <= both + 2 * extra + 2500  # a joint may cost a frame
    assert likeness(audio[-24_500:], other[-20_000:-4_000]) > 0.9
    late = read_audio(joined, start_s=7.0, end_s=9.0)
    inner = slice(200, -200)
    assert np.allclose(late[inner], audio[7 * RATE : 9 * RATE][inner], atol=1e-4)


def test_gsm_in_wav(tmp_path: Path) -> None:
    path = tmp_path / "gsm.wav"
    soundfile.write(path, chirps(8_000, 3.0), 8_000, subtype="GSM610")
    audio = read_audio(path)
    assert abs(len(audio) - 3 * RATE) <= 640
    part = read_audio(path, start_s=1.0, end_s=2.0)
    assert np.allclose(part[200:-200], audio[16_000:32_000][200:-200], atol=1e-4)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024, 0])
def test_lengths_that_a_streaming_writer_leaves(size: int, tmp_path: Path) -> None:
    samples = chirps(RATE, 1.0)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="PCM_16")
    content = bytearray(buffer.getvalue())
    content[4:8] = struct.pack("<I", min(size + 36, 0xFFFFFFFF))
    content[40:44] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(content)
    assert np.allclose(read_audio(tmp_path / "a.wav"), samples, atol=1e-4)


def test_flac_of_unknown_length(tmp_path: Path) -> None:
    path = tmp_path / "stream.flac"
    soundfile.write(path, chirps(RATE, 1.0), RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of the total number of samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert len(read_audio(path)) == RATE


def test_pipes_are_read_to_their_end(files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("wav", "m4a", "mp3", "flac"):
        pipe = tmp_path / f"{name}.fifo"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(files[name].read_bytes(),))
        writer.start()
        audio = read_audio(pipe)
        writer.join()
        assert np.array_equal(audio, read_audio(files[name]))


def test_a_descriptor_of_a_pipe(files: dict[str, Path]) -> None:
    """What a shell's process substitution hands over: /dev/fd/N."""
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb") as file:
            file.write(files["wav"].read_bytes())

    writer = threading.Thread(target=write)
    writer.start()
    audio = read_audio(f"/dev/fd/{read_end}")
    writer.join()
    os.close(read_end)
    assert np.array_equal(audio, read_audio(files["wav"]))


def test_names_that_cannot_be_opened_are_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file.wav").write_bytes(b"x")
    for source, said in [
        ("/dev/zero", "is a device"),
        (tmp_path / "file.wav" / "below.wav", "no such file"),
        (tmp_path / ("x" * 300), "cannot be read"),
        ("nul\0.wav", "cannot be read"),
    ]:
        with pytest.raises(AudioError, match=said) as caught:
            read_audio(source)
        assert "\n" not in caught.value.message
        again = pickle.loads(pickle.dumps(caught.value))
        assert (str(again), again.fault) == (str(caught.value), caught.value.fault)


def test_a_part_beyond_the_end_is_refused(files: dict[str, Path]) -> None:
    assert len(read_audio(files["wav"], start_s=5.0, end_s=6.05)) == RATE  # rounded up
    with pytest.raises(
        UserError, match=r"before the requested part .*\(at 6\.00 s, before 6\.5 s\)"
    ):
        read_audio(files["wav"], start_s=5.0, end_s=6.5)
    with pytest.raises(UserError, match=r"holds no audio \(from 7 s to 8 s"):
        read_audio(files["wav"], start_s=7.0, end_s=8.0)
    assert len(read_audio(files["wav"], start_s=5.0, limit_s=3.0)) == RATE
    assert len(read_audio(files["wav"], limit_s=3.0, end_s=9.0)) == 3 * RATE


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_blocks_are_the_whole(rate_hz: int, tmp_path: Path) -> None:
    import soxr

    samples = chirps(rate_hz, 3.3)
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    blocks = list(AudioBlocks(path))
    assert len(blocks) > 1
    assert np.array_equal(np.concatenate(blocks), soxr.resample(samples, rate_hz, RATE))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """6 minutes of stereo at 48 kHz are 138 MB of float32."""
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 48_000, 2) as file:
        for _ in range(6):
            file.write(np.zeros((48_000 * 60, 2), np.int16))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(len(block) for block in AudioBlocks(path)) == 6 * 60 * RATE
    assert len(read_audio(path, start_s=300.0, end_s=305.0)) == 5 * RATE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kB
