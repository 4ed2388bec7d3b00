"""Runs, spans and cuts on the frame grid: the index arithmetic of TFJP, free of audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BLANK = -1  # a frame without a source frame: padding


@dataclass(frozen=True)
class Span:
    """Frames ``[start, stop)``. ``stop`` may lie beyond the clip: the rest is padding."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def runs(mask: Mask) -> list[Span]:
    """The maximal runs of True, in order."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return [Span(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def without_long_silence(silent: Mask, longest_frames: int) -> Frames:
    """Indices that remain when every inner silent run is shortened to ``longest_frames``.

    The middle of a run goes, so that the decay before it and the breath after it stay. Runs that
    touch an end are not inner and stay whole.
    """
    keep = np.ones(len(silent), np.bool_)
    for run in runs(silent):
        inner = run.start > 0 and run.stop < len(silent)
        if inner and len(run) > longest_frames:
            first = run.start + longest_frames // 2
            keep[first : first + len(run) - longest_frames] = False
    return np.flatnonzero(keep)


def best_span(gain: npt.NDArray[np.float64]) -> Span:
    """The contiguous span with the greatest sum, in O(n) (Kadane's algorithm on prefix sums).

    Of equal spans the one that ends first, and then the longest. Never empty.
    """
    prefix = np.concatenate(([0.0], np.cumsum(gain)))
    lowest = np.minimum.accumulate(prefix[:-1])
    stop = int(np.argmax(prefix[1:] - lowest)) + 1
    start = int(np.argmax(prefix[:stop] == lowest[stop - 1]))
    return Span(start, stop)


def snap(span: Span, active: Mask, step_frames: int) -> Span:
    """Moves both ends to the nearest multiple of ``step_frames`` that loses no active frame.

    A nearest multiple inside the span is taken only if what it cuts off is not active, and if a
    step is left; otherwise the next one outwards.
    """
    start = step_frames * ((span.start + step_frames // 2) // step_frames)
    if active[span.start : start].any():
        start -= step_frames
    stop = step_frames * ((span.stop + step_frames // 2) // step_frames)
    if active[stop : span.stop].any():
        stop += step_frames
    if stop > start:
        return Span(start, stop)
    return Span(span.start // step_frames * step_frames, -(-span.stop // step_frames) * step_frames)


@dataclass(frozen=True)
class CutMap:
    """Where the samples of a source clip went when frames of it were cut out or blanks added.

    Attributes:
        source: first source frame of every unbroken run that is left, ascending.
        place: first frame of that run in the result.
        length: frames of the run.
        hop_samples: samples a frame.
    """

    source: tuple[int, ...]
    place: tuple[int, ...]
    length: tuple[int, ...]
    hop_samples: int

    @staticmethod
    def of(kept: Frames, hop_samples: int) -> CutMap:
        """``kept`` holds the source frame at every place of the result, or BLANK."""
        places = np.flatnonzero(kept != BLANK)
        source = kept[places]
        breaks = np.flatnonzero((np.diff(source) != 1) | (np.diff(places) != 1)) + 1
        first = np.concatenate(([0], breaks)).astype(np.int64) if len(places) else breaks
        length = np.diff(np.append(first, len(places)))
        return CutMap(
            tuple(source[first].tolist()),
            tuple(places[first].tolist()),
            tuple(length.tolist()),
            hop_samples,
        )

    @staticmethod
    def joined(
        maps: Sequence[CutMap], source_samples: Sequence[int], place_samples: Sequence[int]
    ) -> CutMap:
        """The map of clips laid one after another, given where each begins, in whole hops."""
        hop = maps[0].hop_samples
        source, place = [s // hop for s in source_samples], [p // hop for p in place_samples]
        return CutMap(
            tuple(s + at for m, at in zip(maps, source, strict=False) for s in m.source),
            tuple(p + at for m, at in zip(maps, place, strict=False) for p in m.place),
            tuple(n for m in maps for n in m.length),
            hop,
        )

    def moved(self, sample: int) -> int:
        """Place in the result of a source time; a time that was cut out moves to the joint."""
        end = 0
        for source, place, length in zip(self.source, self.place, self.length, strict=True):
            offset = sample - source * self.hop_samples
            if offset < 0:
                return place * self.hop_samples
            end = (place + length) * self.hop_samples
            if offset <= length * self.hop_samples:
                return place * self.hop_samples + offset
        return end
