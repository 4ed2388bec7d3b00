"""Recordings of every bad kind are refused with a reason; good ones are prepared once."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_build.drops import Dropped
from data_build.pools.prepare import PrepareConfig, Preparer
from data_build.randomness import generator
from data_build.records import Clip, ClipKind, Origin, Recorded
from data_build.synth.kinds import synthesised_clip, take


def clip_at(path: Path, kind: ClipKind = "event") -> Clip:
    return Clip(path.stem, kind, Recorded(str(path)), Origin("test", "CC0-1.0"))


def preparer(tmp_path: Path, **settings: object) -> Preparer:
    return Preparer(tmp_path / "cache", PrepareConfig(**settings))  # type: ignore[arg-type]


def bark(seconds: float = 1.0) -> np.ndarray:
    return take("dog_bark", generator(1), seconds).samples


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """name -> (file, what the reason must say)."""
    sound = bark()
    with_nan = sound.copy()
    with_nan[500] = np.nan
    soundfile.write(folder / "nan.wav", with_nan, 16_000, subtype="FLOAT")
    soundfile.write(folder / "one.wav", sound[:1], 16_000)
    soundfile.write(folder / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(folder / "dc.wav", np.full(16_000, 0.2), 16_000)
    bits = np.random.default_rng(0).integers(-1, 2, 16_000).astype(np.int16)
    soundfile.write(folder / "dither.wav", bits, 16_000)
    soundfile.write(folder / "whole.flac", sound, 16_000)
    data = (folder / "whole.flac").read_bytes()
    (folder / "corrupt.flac").write_bytes(b"fLaC" + bytes(reversed(data[4:])))
    (folder / "text.wav").write_text("this is not a recording\n" * 40)
    (folder / "empty.wav").touch()
    (folder / "folder.wav").mkdir()
    expected = {
        "nan.wav": "NaN",
        "one.wav": "too short (under 0.1 s)",
        "silent.wav": "silent",
        "dc.wav": "silent",
        "dither.wav": "silent",
        "corrupt.flac": "cannot be decoded",
        "text.wav": "cannot be decoded",
        "empty.wav": "empty",
        "folder.wav": "folder",
        "missing.wav": "No such file",
    }
    return {name: (folder / name, reason) for name, reason in expected.items()}


@pytest.mark.parametrize(
    "name",
    ["nan.wav", "one.wav", "silent.wav", "dc.wav", "dither.wav", "corrupt.flac", "text.wav",
     "empty.wav", "folder.wav", "missing.wav"],
)  # fmt: skip
def test_a_bad_recording_is_refused_with_its_reason(tmp_path: Path, name: str) -> None:
    path, reason = bad_files(tmp_path)[name]
    with pytest.raises(Dropped) as error:
        preparer(tmp_path).prepare(clip_at(path))
    assert reason in str(error.value)
    assert not list((tmp_path / "cache").rglob("*.flac"))


def test_speech_at_80_db_below_full_scale_is_kept(tmp_path: Path) -> None:
    sound = bark(2.0) / np.abs(bark(2.0)).max() * 10 ** (-80 / 20)
    soundfile.write(tmp_path / "quiet.wav", sound, 16_000, subtype="PCM_16")
    heard = preparer(tmp_path).prepare(clip_at(tmp_path / "quiet.wav", "speech"))
    assert np.abs(heard.samples).max() > 0.5


def test_a_truncated_recording_is_refused_or_read_to_where_it_ends(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "whole.flac", bark(4.0), 16_000)
    data = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    with contextlib.suppress(Dropped):
        heard = preparer(tmp_path, tfjp=None).prepare(clip_at(tmp_path / "cut.flac"))
        assert 0 < len(heard.samples) < 4 * 16_000


def test_channels_rates_and_names_do_not_matter(tmp_path: Path) -> None:
    sound = bark()
    soundfile.write(tmp_path / "eight.wav", np.repeat(sound[:, None], 8, axis=1), 16_000)
    soundfile.write(tmp_path / "plain.wav", sound, 16_000)
    soundfile.write(tmp_path / "fast.wav", np.repeat(sound, 12), 192_000)
    (tmp_path / "plain.wav").rename(tmp_path / "plain.mp3")
    ours = preparer(tmp_path, tfjp=None)
    eight, plain, fast = (
        ours.prepare(clip_at(tmp_path / n)) for n in ("eight.wav", "plain.mp3", "fast.wav")
    )
    assert np.allclose(eight.samples, plain.samples, atol=1e-3)
    assert len(fast.samples) == len(plain.samples) == 16_000


def test_a_clip_is_the_same_whether_made_remembered_or_read_back(tmp_path: Path) -> None:
    clip = synthesised_clip("smoke_alarm", 7)
    first = preparer(tmp_path)
    made = first.prepare(clip)
    assert first.prepare(clip) is made
    again = preparer(tmp_path).prepare(clip)
    assert np.array_equal(made.samples, again.samples)
    assert (
        made.ready_samples == again.ready_samples == take("smoke_alarm", generator(7)).ready_samples
    )
    with pytest.raises(ValueError, match="read-only"):
        made.samples[0] = 1.0


def test_a_damaged_cache_file_is_made_again(tmp_path: Path) -> None:
    clip = synthesised_clip("dog_bark", 3)
    made = preparer(tmp_path).prepare(clip)
    (file,) = (tmp_path / "cache").rglob("*.flac")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert np.array_equal(preparer(tmp_path).prepare(clip).samples, made.samples)


def test_memory_forgets_the_oldest_beyond_its_limit(tmp_path: Path) -> None:
    small = preparer(tmp_path, memory_mb=0.2)  # three seconds
    clips = [synthesised_clip("dog_bark", i, seconds=1.0) for i in range(6)]
    first = small.prepare(clips[0])
    for clip in clips[1:]:
        small.prepare(clip)
    assert small.prepare(clips[0]) is not first
    assert small._memory_bytes <= 0.2 * 2**20


def test_preprocessing_reports_and_moves_times(tmp_path: Path) -> None:
    """A second of silence between two barks is cut to tau; later times move with it."""
    sound = np.concatenate((bark(0.4), np.zeros(16_000, np.float32), bark(0.4)))
    sound += np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32) * 1e-3
    soundfile.write(tmp_path / "two.wav", sound, 16_000)
    heard = preparer(tmp_path).prepare(clip_at(tmp_path / "two.wav"))
    assert heard.report is not None
    assert heard.report.silence_samples > 8_000
    assert heard.at(1.5) < 1.5 * 16_000 - 8_000
    noise = preparer(tmp_path).prepare(clip_at(tmp_path / "two.wav", "noise"))
    assert noise.report is None
    assert len(noise.samples) == len(sound)


def test_an_unreadable_tar_is_a_bad_clip(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"x")
    clip = clip_at(tmp_path / "x.tar")
    clip = replace(clip, audio=replace(clip.audio, member="a.wav"))
    with pytest.raises(Dropped, match="cannot be read"):
        preparer(tmp_path).prepare(clip)


def test_a_length_that_the_audio_contradicts_is_dropped(tmp_path: Path) -> None:
    """Its text would be that of other audio, and its word times would collapse."""
    preparer = Preparer(tmp_path / "cache", PrepareConfig())
    path = tmp_path / "a.wav"
    soundfile.write(path, np.random.default_rng(0).normal(size=32_000) * 0.1, 16_000)

    def clip(stated_s: float | None, **about: float) -> Clip:
        audio = Recorded(str(path), **about)  # type: ignore[arg-type]
        return Clip("a", "speech", audio, Origin("c", "l"), duration_s=stated_s, text="said")

    for good in (None, 2.0, 2.1, 1.97):
        assert len(preparer.prepare(clip(good)).samples)
    for bad in (5.0, 1.0, 2000.0):
        with pytest.raises(Dropped, match="another length than its corpus states"):
            preparer.prepare(clip(bad))
    with pytest.raises(Dropped, match="ends before the requested part") as caught:
        preparer.prepare(clip(1.0, start_s=1.5, end_s=2.5))
    assert caught.value.drop.reason == "ends before the requested part"
    assert "at 2.00 s, before 2.5 s" in caught.value.drop.item


def test_more_text_than_can_be_said_is_dropped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", bark()[:16_000], 16_000)
    said = clip_at(tmp_path / "a.wav", "speech")
    prepare = preparer(tmp_path, tfjp=None).prepare
    assert prepare(replace(said, text="word " * 25)).samples.size
    with pytest.raises(Dropped, match="more text than can be said"):
        prepare(replace(said, text="word " * 100))
    assert prepare(replace(said, kind="event", text="word " * 100)).samples.size


def test_a_long_noise_is_read_only_as_far_as_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rain.wav"
    soundfile.write(path, np.random.default_rng(0).normal(size=160_000) * 0.1, 16_000)
    # What lies behind is not even looked at: here it would not be decodable.
    path.write_bytes(path.read_bytes()[:200_000])
    config = PrepareConfig(max_s=3.0)
    noise = Clip("a", "noise", Recorded(str(path)), Origin("c", "l"))
    assert len(Preparer(tmp_path / "cache", config).prepare(noise).samples) == 48_000


def test_what_a_mixdown_did_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    preparer = Preparer(tmp_path / "cache", PrepareConfig())
    wave = np.random.default_rng(0).normal(size=16_000) * 0.1
    for name in "ab":
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.stack([wave, -wave], axis=1), 16_000)
        noise = Clip(name, "noise", Recorded(str(path)), Origin("c", "l"))
        assert np.abs(preparer.prepare(noise).samples).max() > 0.5
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path / 'a.wav'}: its channels cancel each other")
