"""Recordings of a build before and after preprocessing, as spectrograms and audio."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image

from data_build.pools.pools import open_pools
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Recorded
from data_build.sources.audio_refs import audio_source
from data_build.tfjp.loop import TfjpResult, tfjp
from data_build.tfjp.spectrum import analyse
from soundflow.audio.files import read_audio
from soundflow.audio.stft import Float32
from soundflow.errors import UserError
from soundflow.protocol.timebase import SAMPLE_RATE_HZ, to_samples, to_seconds
from soundflow.report.embed import audio_uri, data_uri
from soundflow.report.markup import join, percent, tag

PICTURES = 4
RANGE_DB = 80.0
_CUT_TINT = np.array([255, 96, 64], np.uint8)
_GAP_PIXELS = 6
_LOOKED_AT, _SHORTEST_S, _LONGEST_S = 32, 1.5, 12.0


def pictures(recipe: BuildRecipe) -> Markup | None:
    """The recordings, among a few, that preprocessing changed most; None if there are none."""
    config = recipe.prepare.tfjp
    if config is None:
        return None
    found: list[tuple[Clip, Float32, TfjpResult]] = []
    for clip, audio in islice(recordings(recipe), _LOOKED_AT):
        try:
            samples = read_audio(
                audio_source(audio), start_s=audio.start_s, end_s=audio.end_s, name=audio.path
            )[: to_samples(_LONGEST_S)]  # fmt: skip
        except UserError:
            continue  # the build has dropped it, with the reason
        if len(samples) >= to_samples(_SHORTEST_S):
            found.append((clip, samples, tfjp(samples, config)))
    if not found:
        return None
    # Half of them for the silence that was cut inside, half for what lay outside the core.
    found.sort(key=lambda one: -one[2].report.silence_samples / one[2].report.in_samples)
    inside, others = found[: PICTURES // 2], found[PICTURES // 2 :]
    others.sort(key=lambda one: -one[2].report.outside_samples / one[2].report.in_samples)
    found = inside + others
    return tag("div", join(_picture(*one) for one in found[:PICTURES]), class_="charts")


def recordings(recipe: BuildRecipe) -> Iterator[tuple[Clip, Recorded]]:
    """Recorded speech and events of the first split, of each of its tables in turn."""
    pools = open_pools(Path(recipe.output) / "material" / next(iter(recipe.splits)))
    pool_clips = (*(cue.clips for cue in pools.cues), pools.speech, pools.sounds)
    tables = [_recorded(clips) for clips in pool_clips]
    while tables:
        for one in list(tables):
            clip = next(one, None)
            if clip is None:
                tables.remove(one)
            else:
                yield clip


def _recorded(clips: Iterable[Clip]) -> Iterator[tuple[Clip, Recorded]]:
    for clip in clips:
        if isinstance(clip.audio, Recorded) and clip.kind in ("speech", "event"):
            yield clip, clip.audio


def _picture(clip: Clip, samples: Float32, result: TfjpResult) -> Markup:
    report, seconds = result.report, to_seconds
    title = clip.text or ", ".join(clip.labels).replace("_", " ") or clip.id
    note = (
        f"{seconds(report.in_samples):.2f} s to {seconds(report.out_samples):.2f} s: "
        f"{seconds(report.silence_samples):.2f} s of silence and "
        f"{seconds(report.outside_samples):.2f} s outside the core cut; denoising removed "
        f"{percent(report.denoised_share, 1)} of the energy; {report.passes} passes"
    )
    image = tag(
        "img", src=data_uri(png(samples, result), "image/png"),
        alt=f"spectrograms of {title} before and after",
        style="width:100%;height:240px;image-rendering:pixelated;margin-top:8px",
    )  # fmt: skip
    players = [
        tag("figcaption", join((tag("span", name, style="width:3.2em"), _player(audio))),
            style="align-items:center;flex-wrap:nowrap")
        for name, audio in (("before", samples), ("after", result.samples))
    ]  # fmt: skip
    heading = (tag("h3", title), tag("span", note, class_="note"))
    return tag("figure", join((*heading, image, *players)), class_="figure")


def _player(audio: Float32) -> Markup:
    uri = audio_uri(audio, SAMPLE_RATE_HZ)
    return tag("audio", "", controls="", preload="metadata", src=uri, style="height:32px;flex:1")


def png(samples: Float32, result: TfjpResult, max_width: int = 1200) -> bytes:
    """A PNG of the clip before (top) and after (bottom), one column a frame at most.

    Brightness is power over 80 dB below the loudest bin of the clip before; frequency runs upwards
    from 0 to 8 kHz. Frames of the source that are gone from the result are tinted. Around the
    two the picture is transparent.
    """
    power = analyse(samples).power
    loudest = float(power.max())
    before = np.repeat(spectrogram(power, loudest)[:, :, None], 3, axis=2)
    cut = ~kept_frames(result, len(power))
    before[:, cut] = (before[:, cut] * 0.6 + _CUT_TINT * 0.4).astype(np.uint8)
    after = np.repeat(spectrogram(analyse(result.samples).power, loudest)[:, :, None], 3, axis=2)
    width = max(before.shape[1], after.shape[1])
    page = np.zeros((before.shape[0] * 2 + _GAP_PIXELS, width, 4), np.uint8)
    page[: before.shape[0], : before.shape[1], :3] = before
    page[: before.shape[0], : before.shape[1], 3] = 255
    page[-after.shape[0] :, : after.shape[1], :3] = after
    page[-after.shape[0] :, : after.shape[1], 3] = 255
    image = Image.fromarray(page)
    if width > max_width:
        image = image.resize((max_width, page.shape[0]), Image.Resampling.BOX)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def spectrogram(power: Float32, loudest: float) -> npt.NDArray[np.uint8]:
    """(frames, bins) power to (bins, frames) brightness, the highest frequency in the top row."""
    db = 10.0 * np.log10(np.maximum(power, 1e-20) / max(loudest, 1e-20))
    level = np.clip(1.0 + db / RANGE_DB, 0.0, 1.0)
    grey: npt.NDArray[np.uint8] = np.round(255.0 * level).astype(np.uint8)
    return grey.T[::-1]


def kept_frames(result: TfjpResult, n_frames: int) -> npt.NDArray[np.bool_]:
    """Which frames of the source are in the result, (n_frames,)."""
    kept = np.zeros(n_frames, np.bool_)
    for start, length in zip(result.cuts.source, result.cuts.length, strict=True):
        kept[start : start + length] = True
    return kept
