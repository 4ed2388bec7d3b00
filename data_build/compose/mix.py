"""Mixes tracks to one waveform: levels, role gains, noise at a drawn SNR, peak limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_build.compose.beds import Bed
from data_build.compose.config import ComposeConfig, NoiseConfig
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
    """

    role: TrackRole
    start_samples: int
    clip: PreparedClip
    samples: Float32
    on_samples: int
    end_samples: int


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
        limited: whether the peak limit was needed.
    """

    audio: Float32
    foreground: Float32
    beside: Float32
    noise: tuple[Float32, ...]
    noise_tracks: tuple[NoiseTrack, ...]
    level_db: float
    gains_db: tuple[float, ...]
    limited: bool


def place(clip: PreparedClip, start: int, role: TrackRole, fade_samples: int) -> Placed:
    """Fades a clip at both ends and finds its audible part."""
    faded = taper(clip.samples, fade_samples)
    on, end = audible_span(faded)
    return Placed(role, start, clip, faded, start + on, start + end)


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
    background and ambient items to the role gains below it. Each noise bed is scaled so that
    the ratio of the foreground (what is audible of it) to the noise (over the stream) is its drawn
    SNR, as `data_build.compose.snr` defines it.
    """
    levels = seed.generator("levels")
    level_db = between(config.level_db, levels)
    offsets = {
        "foreground": 0.0,
        "background": config.background_db,
        "ambient": config.ambient_db,
    }
    foreground = np.zeros(n_samples, np.float32)
    beside = np.zeros(n_samples, np.float32)
    gains_db: list[float] = []
    for item in placed:
        target = level_db + offsets[item.role]
        if item.role == "foreground":
            target += between((-config.spread_db, config.spread_db), levels)
        gain = gain_to(target, active_power(item.samples))
        track = foreground if item.role == "foreground" else beside
        room = track[item.start_samples : item.start_samples + len(item.samples)]
        room += item.samples[: len(room)] * np.float32(gain)
        gains_db.append(round(20 * float(np.log10(max(gain, 1e-6))), 3))
    power = foreground_power(foreground, placed) or 10 ** (level_db / 10)
    items = foreground_bands(foreground, placed)
    noise, tracks = _scaled(beds, power, items, config.noise, seed)
    audio = foreground + beside
    for track in noise:
        audio += track
    peak = float(np.abs(audio).max(initial=0.0))
    limited = peak > config.peak
    if limited:
        audio *= np.float32(config.peak / peak)
    return Mix(
        audio, foreground, beside, tuple(noise), tuple(tracks), round(level_db, 3),
        tuple(gains_db), limited,
    )  # fmt: skip


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
        mean = float(np.mean(samples.astype(np.float64) ** 2))
        if mean > 0.0:
            found_db = snr_db(power, items, mean, band_power(samples))
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
