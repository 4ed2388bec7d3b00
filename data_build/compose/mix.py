"""Mixes tracks to one waveform: levels, role gains, noise at a drawn SNR, peak limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_build.compose.config import ComposeConfig, NoiseConfig
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, between, generator
from data_build.records import Clip, TrackRole
from soundflow.audio.level import Float32, active_power, audible_span, gain_to
from soundflow.protocol.timebase import to_samples
from soundflow.shards.schema import NoiseTrack, SourceClip

_TRIES = 64  # draws from a pool of noise before a stream goes without


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
        noise: the noise tracks, (n,) float32 each, and ``noise_tracks`` what each is made of.
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
    noise: tuple[Sequence[Clip], Sequence[Clip]],
    may_lie_under: Callable[[Clip], bool],
    read: Callable[[Clip], Float32],
    config: ComposeConfig,
    seed: StreamSeed,
) -> Mix:
    """Mixes a stream of ``n_samples``.

    The foreground is brought to a level drawn from ``level_db``, measured on the faded samples;
    background and ambient items to the role gains below it. Each noise track is scaled so that
    foreground power (over what is audible) to noise power (over the stream) is its drawn SNR.

    Args:
        noise: event-like and ambient noise clips.
        may_lie_under: which of them may be used; where none is left there is no track.
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
    beds, tracks = _noise(n_samples, power, noise, may_lie_under, read, config.noise, seed)
    audio = foreground + beside
    for bed in beds:
        audio += bed
    peak = float(np.abs(audio).max(initial=0.0))
    limited = peak > config.peak
    if limited:
        audio *= np.float32(config.peak / peak)
    return Mix(
        audio, foreground, beside, tuple(beds), tuple(tracks), round(level_db, 3),
        tuple(gains_db), limited,
    )  # fmt: skip


def _noise(
    n_samples: int,
    power: float,
    noise: tuple[Sequence[Clip], Sequence[Clip]],
    may_lie_under: Callable[[Clip], bool],
    read: Callable[[Clip], Float32],
    config: NoiseConfig,
    seed: StreamSeed,
) -> tuple[list[Float32], list[NoiseTrack]]:
    """Both noise tracks, scaled to their drawn SNR below ``power``, and what they are made of."""
    clips, snrs = seed.generator("noise"), seed.generator("snr")
    beds: list[Float32] = []
    tracks: list[NoiseTrack] = []
    for pool, offset_db in zip(noise, (0.0, config.ambient_offset_db), strict=True):
        # Every number is drawn whether it is needed or not, so that no track changes the other.
        wanted, entry = clips.random() < config.share, generator(int(clips.integers(1 << 62)))
        snr_db = between(config.snr_db, snrs) - offset_db
        if not wanted:
            continue
        fade = to_samples(config.crossfade_s)
        bed, used = noise_bed(n_samples, pool, may_lie_under, read, fade, entry)
        if not used:
            continue
        mean = float(np.mean(bed.astype(np.float64) ** 2))
        if mean > 0.0:
            bed *= np.float32(np.sqrt(power / mean / 10 ** (snr_db / 10)))
        beds.append(bed)
        tracks.append(NoiseTrack(tuple(source_of(clip) for clip in used), round(snr_db, 3)))
    return beds, tracks


def noise_bed(
    n_samples: int,
    pool: Sequence[Clip],
    may_lie_under: Callable[[Clip], bool],
    read: Callable[[Clip], Float32],
    crossfade_samples: int,
    rng: np.random.Generator,
) -> tuple[Float32, tuple[Clip, ...]]:
    """Noise of ``n_samples`` and its clips; none where no clip of ``pool`` may be used.

    Clips are drawn with replacement, each entered at a random point, and joined with equal-power
    cross-fades (the power of uncorrelated noises stays level through the join).
    """
    out = np.zeros(n_samples, np.float32)
    used: list[Clip] = []
    at = 0
    while at < n_samples:
        clip = _drawn(pool, may_lie_under, rng)
        if clip is None:
            break
        samples = read(clip)
        # Entered in its first half: long clips give other stretches, short ones are not eaten up.
        piece = samples[int(rng.integers(len(samples) // 2 + 1)) :]
        fade = min(crossfade_samples, at, len(piece) - 1, n_samples - at)
        start = at - fade
        piece = piece[: n_samples - start].copy()
        fade = min(fade, len(piece))
        if fade:
            angle = (np.arange(fade, dtype=np.float32) + 0.5) * np.float32(np.pi / 2 / fade)
            piece[:fade] *= np.sin(angle)
            out[start:at] *= np.cos(angle)
        out[start : start + len(piece)] += piece
        used.append(clip)
        at = max(start + len(piece), at + 1)
    return out, tuple(used)


def _drawn(
    pool: Sequence[Clip], may_lie_under: Callable[[Clip], bool], rng: np.random.Generator
) -> Clip | None:
    """Any clip of ``pool`` that may be used; looks at a bounded number of them."""
    for at in rng.integers(len(pool), size=_TRIES) if len(pool) else ():
        clip = pool[int(at)]
        if may_lie_under(clip):
            return clip
    return None


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
