"""Mixes tracks to one waveform: levels, role gains, noise at a drawn SNR, peak limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_build.compose.beds import Bed
from data_build.compose.config import ComposeConfig, NoiseConfig
from data_build.compose.masking import above_rest_db
from data_build.compose.snr import band_power, snr_db
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, between
from data_build.records import Clip, TrackRole
from soundflow.audio.level import Float32, Float64, active_power, audible_span, gain_to
from soundflow.shards.schema import NoiseTrack, SourceClip


@dataclass(frozen=True)
class Placed:
    """A clip on a track.

    Attributes:
        start_samples: in the stream.
        samples: (n,) float32, faded, not scaled yet.
        on_samples, end_samples: the audible part, in the stream.
        is_speech: in the foreground, no item beside it may hide its words.
    """

    role: TrackRole
    start_samples: int
    clip: PreparedClip
    samples: Float32
    on_samples: int
    end_samples: int
    is_speech: bool = False


@dataclass(frozen=True)
class Mix:
    """The mixed stream and its parts, before the peak limit is applied to their sum.

    Attributes:
        audio: (n,) float32, the limited sum.
        foreground, beside: (n,) float32 each; ``beside`` holds background and ambient items.
        noise: the noise beds at their levels, (n,) float32 each, and ``noise_tracks`` what each is
            made of.
        level_db: drawn level of the foreground.
        gains_db: of each placed item.
        above_rest_db: of each, how far it stands above all else (`data_build.compose.masking`).
        limited: whether the peak limit was needed.
    """

    audio: Float32
    foreground: Float32
    beside: Float32
    noise: tuple[Float32, ...]
    noise_tracks: tuple[NoiseTrack, ...]
    level_db: float
    gains_db: tuple[float, ...]
    above_rest_db: tuple[float | None, ...]
    limited: bool


def place(
    clip: PreparedClip, start: int, role: TrackRole, fade_samples: int, *, is_speech: bool = False
) -> Placed:
    """Fades a clip at both ends and finds its audible part."""
    faded = taper(clip.samples, fade_samples)
    on, end = audible_span(faded)
    return Placed(role, start, clip, faded, start + on, start + end, is_speech)


def taper(samples: Float32, fade_samples: int) -> Float32:
    """A half Hann window at each end."""
    n = min(fade_samples, len(samples) // 2)
    out = samples.copy()
    if n:
        ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)).astype(np.float32)
        out[:n] *= ramp
        out[-n:] *= ramp[::-1]
    return out


def mix(
    n_samples: int,
    placed: Sequence[Placed],
    beds: Sequence[Bed],
    config: ComposeConfig,
    seed: StreamSeed,
) -> Mix:
    """Mixes a stream of ``n_samples``.

    The foreground is brought to a level drawn from ``level_db``, measured on the faded samples;
    background and ambient items to the role gains below it, or lower: speech in the foreground has
    at least that ratio to what sounds under it of each of them, as `data_build.compose.snr` defines
    the ratio. (Other sounds in the foreground lower nothing, since those beside them have labels of
    their own.) Each noise bed is scaled so that the ratio of the foreground (what is audible of it)
    to the noise (over the stream) is its drawn SNR.
    """
    levels = seed.generator("levels")
    level_db = between(config.level_db, levels)
    foreground = np.zeros(n_samples, np.float32)
    beside = np.zeros(n_samples, np.float32)
    gains = [0.0] * len(placed)
    for number, item in enumerate(placed):
        if item.role == "foreground":
            target = level_db + between((-config.spread_db, config.spread_db), levels)
            gains[number] = gain_to(target, active_power(item.samples))
            _add(item, gains[number], foreground)
    items = foreground_bands(foreground, placed)
    in_front = [item for item in placed if item.role == "foreground"]
    speech = [one for one in zip(in_front, items, strict=True) if one[0].is_speech]
    for number, item in enumerate(placed):
        if item.role != "foreground":
            role_db = config.background_db if item.role == "background" else config.ambient_db
            gains[number] = min(
                gain_to(level_db + role_db, active_power(item.samples)),
                _gain_below(item, -role_db, foreground, speech),
            )
            _add(item, gains[number], beside)
    power = foreground_power(foreground, placed) or 10 ** (level_db / 10)
    noise, tracks = _scaled(beds, power, items, config.noise, seed)
    audio = foreground + beside
    for track in noise:
        audio += track
    above_db = tuple(
        _above_rest_db(item, gain, audio) for item, gain in zip(placed, gains, strict=True)
    )
    peak = float(np.abs(audio).max(initial=0.0))
    limited = peak > config.peak
    if limited:
        audio *= np.float32(config.peak / peak)
    return Mix(
        audio, foreground, beside, tuple(noise), tuple(tracks), round(level_db, 3),
        tuple(round(20 * float(np.log10(max(gain, 1e-6))), 3) for gain in gains),
        above_db, limited,
    )  # fmt: skip


def _add(item: Placed, gain: float, track: Float32) -> None:
    room = track[item.start_samples : item.start_samples + len(item.samples)]
    room += item.samples[: len(room)] * np.float32(gain)


def _above_rest_db(item: Placed, gain: float, audio: Float32) -> float | None:
    first = item.on_samples - item.start_samples
    rest = audio[item.on_samples : item.end_samples]
    sound = item.samples[first : first + len(rest)] * np.float32(gain)
    return above_rest_db(sound, rest - sound)


def _gain_below(
    item: Placed, wanted_db: float, foreground: Float32, speech: Sequence[tuple[Placed, Float64]]
) -> float:
    """The largest gain at which none of the foreground's ``speech`` has a ratio below ``wanted_db``
    to what sounds under it of ``item``; infinite without an overlap.

    Args:
        speech: each with its `band_power`.
    """
    largest = float("inf")
    for spoken, bands in speech:
        on, end = (max(0, t - item.start_samples) for t in (spoken.on_samples, spoken.end_samples))
        under = item.samples[on:end]
        signal = foreground[spoken.on_samples : spoken.end_samples]
        power, under_power = mean_power(signal), mean_power(under)
        if power > 0.0 and under_power > 0.0:
            found_db = snr_db(power, [bands], under_power, band_power(under))
            largest = min(largest, 10 ** ((found_db - wanted_db) / 20))
    return largest


def _scaled(
    beds: Sequence[Bed],
    power: float,
    items: Sequence[Float64],
    config: NoiseConfig,
    seed: StreamSeed,
) -> tuple[list[Float32], list[NoiseTrack]]:
    """The beds at their drawn SNR against the foreground, and what they are made of."""
    rng = seed.generator("snr")
    # Both are drawn whether they are needed or not, so that no bed changes the other.
    drawn = {"event": between(config.snr_db, rng)}
    drawn["ambient"] = between(config.snr_db, rng) - config.ambient_offset_db
    scaled: list[Float32] = []
    tracks: list[NoiseTrack] = []
    for bed in beds:
        samples, wanted_db = bed.samples, drawn[bed.texture]
        noise_power = mean_power(samples)
        if noise_power > 0.0:
            found_db = snr_db(power, items, noise_power, band_power(samples))
            samples = samples * np.float32(10 ** ((found_db - wanted_db) / 20))
        scaled.append(samples)
        tracks.append(NoiseTrack(tuple(source_of(clip) for clip in bed.clips), round(wanted_db, 3)))
    return scaled, tracks


def source_of(clip: Clip) -> SourceClip:
    """A clip as named in a record."""
    return SourceClip(
        clip.id, clip.origin.corpus, clip.origin.licence, clip.origin.attribution, clip.labels,
        clip.recording, clip.near_duplicates, clip.group,
    )  # fmt: skip


def mean_power(samples: Float32) -> float:
    """Mean power; 0 of nothing."""
    return float(np.mean(samples.astype(np.float64) ** 2)) if len(samples) else 0.0


def foreground_power(foreground: Float32, placed: Sequence[Placed]) -> float:
    """Mean power of the foreground over the audible spans of its items; 0 without any."""
    energy, n = 0.0, 0
    for item in placed:
        if item.role == "foreground":
            part = foreground[item.on_samples : item.end_samples].astype(np.float64)
            energy += float(np.square(part).sum())  # not a BLAS dot: its bits depend on threads
            n += len(part)
    return energy / n if n else 0.0


def foreground_bands(foreground: Float32, placed: Sequence[Placed]) -> list[Float64]:
    """`band_power` of what is audible of each foreground item."""
    return [
        band_power(foreground[item.on_samples : item.end_samples])
        for item in placed
        if item.role == "foreground"
    ]
