"""Recorded speech that fits a stream: a longer one is cut with its text."""

from __future__ import annotations

from dataclasses import replace

from data_build.drops import Drop, Dropped
from data_build.records import Clip, Recorded

_AFTER_S = 0.05  # kept behind the last word of speech that is cut, if nothing follows sooner


def fitted(clip: Clip, longest_s: float) -> Clip:
    """A clip of speech of at most ``longest_s``: a longer one ends after the last word that fits.

    A clip of unknown length is left as it is until it is decoded.

    Raises:
        Dropped: if it is longer and has no word times, or a translation, which cannot be cut.
    """
    length_s = clip.words[-1].end_s if clip.words else 0.0
    if max(length_s, clip.duration_s or 0.0) <= longest_s:
        return clip
    reason = f"is stated to be speech of more than {longest_s:g} s"
    if not isinstance(clip.audio, Recorded) or not clip.words:
        raise _too_long(clip, f"{reason}, without word times to cut it by")
    if clip.translation:
        raise _too_long(clip, f"{reason}, whose translation cannot be cut")
    count = sum(word.end_s <= longest_s for word in clip.words)
    if not count:
        raise _too_long(clip, f"{reason} before its first word ends")
    words = clip.words[:count]
    end_s = min(words[-1].end_s + _AFTER_S, longest_s)
    if count < len(clip.words):
        end_s = min(end_s, max(clip.words[count].start_s, words[-1].end_s))
    return replace(
        clip,
        audio=replace(clip.audio, end_s=clip.audio.start_s + end_s),
        duration_s=end_s,
        text=_leading(clip, count),
        words=words,
    )


def _leading(clip: Clip, count: int) -> str:
    """The first ``count`` words, as the text writes them where it has as many."""
    written = clip.text.split()
    if len(written) == len(clip.words):
        return " ".join(written[:count])
    spaced = " " in clip.text or len(clip.words) == 1
    return (" " if spaced else "").join(word.text for word in clip.words[:count])


def _too_long(clip: Clip, reason: str) -> Dropped:
    return Dropped(Drop("prepare", clip.id, reason, "choice"))
