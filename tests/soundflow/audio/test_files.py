"""Every kind of recording is read; every kind of damage has a message that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundflow.audio.files import duration_s, read_audio
from soundflow.errors import UserError


def tone(rate_hz: int, seconds: float = 0.5, channels: int = 1) -> np.ndarray:
    t = np.arange(int(rate_hz * seconds)) / rate_hz
    wave = 0.4 * np.sin(2 * np.pi * 440 * t)
    return np.stack([wave] * channels, axis=1) if channels > 1 else wave


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_any_rate_and_number_of_channels(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(rate_hz, channels=channels), rate_hz)
    audio = read_audio(path)
    assert audio.dtype == np.float32
    assert audio.shape == (8_000,)
    np.testing.assert_allclose(audio[2000:6000], tone(16_000)[2000:6000], atol=5e-3)
    assert duration_s(path) == 0.5


@pytest.mark.parametrize(("extension", "form"), [("flac", "FLAC"), ("ogg", "OGG"), ("mp3", "MP3")])
def test_compressed_formats(tmp_path: Path, extension: str, form: str) -> None:
    path = tmp_path / f"tone.{extension}"
    soundfile.write(path, tone(16_000), 16_000, format=form)
    assert abs(len(read_audio(path)) - 8_000) < 1_600


def test_a_wrong_extension_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "tone.mp3"
    soundfile.write(path, tone(16_000), 16_000, format="FLAC")
    assert len(read_audio(path)) == 8_000


def test_bytes_and_parts(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(16_000), 16_000)
    whole = read_audio(path.read_bytes())
    part = read_audio(path, start_s=0.1, end_s=0.2)
    np.testing.assert_array_equal(part, whole[1600:3200])


def test_one_sample_is_audio(tmp_path: Path) -> None:
    for rate_hz in (16_000, 48_000):
        path = tmp_path / f"{rate_hz}.wav"
        soundfile.write(path, np.array([0.1]), rate_hz)
        assert len(read_audio(path)) == 1


def test_damage_is_named(tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt.wav"
    corrupt.write_bytes(b"RIFF" + bytes(range(200)))
    empty = tmp_path / "empty.wav"
    empty.touch()
    silent = tmp_path / "no_samples.wav"
    soundfile.write(silent, np.zeros(0), 16_000)
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, np.array([0.0, np.nan, 0.0]), 16_000, subtype="FLOAT")
    text = tmp_path / "text.flac"
    text.write_text("this is not audio at all")
    for path, said in [
        (corrupt, "cannot be decoded"),
        (empty, "empty"),
        (silent, "holds no audio"),
        (nan, "NaN"),
        (text, "cannot be decoded"),
        (tmp_path / "missing.wav", "no such file"),
        (tmp_path, "is a folder"),
    ]:
        with pytest.raises(UserError, match=said) as caught:
            read_audio(path)
        assert str(path) in caught.value.message
        assert "\n" not in caught.value.message
        assert caught.value.hint


def test_a_truncated_flac_is_not_silently_short(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.normal(size=48_000) * 0.1, 16_000)
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(UserError, match=r"cut\.flac"):
        read_audio(path)
