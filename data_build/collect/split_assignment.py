"""Assigns items to splits: related items stay in one split.

::

    clip ─▶ its recording, group, speaker ─▶ known? ─▶ the split it went to
                                               └─no──▶ the split that is furthest behind its weight
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping

from data_build.randomness import digest
from data_build.records import Clip, Dialogue, Recorded


class SplitAssignment:
    """Assigns items to splits, in the order in which they come.

    Rows of one recording, of one group or of one speaker stay together: no voice and no file is in
    two splits. Where groups and speakers conflict, the recording decides.

    Args:
        weights: split -> share of the items, of each kind.
        by_recording: speakers may be shared by splits, since there are too few of them.
    """

    def __init__(self, weights: Mapping[str, float], *, by_recording: bool) -> None:
        self._weights = weights
        self._by_recording = by_recording
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._known: dict[int, str] = {}

    def clip(self, clip: Clip, kind: str) -> str:
        """The split of a clip; every ``kind`` is divided by the weights."""
        together = self._together(clip)
        home = next((self._known[key] for key in together if key in self._known), None)
        if home is None:
            home = self.next_of(kind)
        for key in together:
            self._known.setdefault(key, home)
        return home

    def text(self, item: Clip | Dialogue) -> str:
        """The split of a text: per language and, for dialogues, by their length."""
        if isinstance(item, Clip):
            return self.next_of(digest("text", item.language, bool(item.translation)))
        emotions = any(turn.emotion != "normal" for turn in item.turns)
        return self.next_of(digest("talk", item.language, min(len(item.turns), 3), emotions))

    def next_of(self, kind: str) -> str:
        """The split that is furthest behind its weight among what came of this kind."""
        home = furthest_behind(self._weights, self._counts[kind])
        self._counts[kind][home] += 1
        return home

    def _together(self, clip: Clip) -> list[int]:
        """The keys that a clip shares with related clips, the closest relation first."""
        keys: list[tuple[str, str]] = []
        if isinstance(clip.audio, Recorded):
            keys.append(("recording", f"{clip.audio.path}\0{clip.audio.member or ''}"))
        if clip.group:
            keys.append(("group", clip.group))
        if clip.speaker and not self._by_recording:
            keys.append(("speaker", clip.speaker))
        return [_small("\0".join(key)) for key in keys]


def _small(key: str) -> int:
    """Eight bytes instead of a long path, since there is one for every recording."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def furthest_behind(weights: Mapping[str, float], counts: Mapping[str, int]) -> str:
    """The key that is furthest behind its weight among what came so far (a quota method).

    Of equal ones the smaller weight comes first, so that a rare label reaches every split.
    """
    total = sum(counts.values()) + 1
    whole = sum(weights.values())
    positive = [name for name, weight in weights.items() if weight > 0]
    if not positive:
        raise ValueError(f"no weight is positive in {dict(weights)}")
    return min(positive, key=lambda n: (counts.get(n, 0) - total * weights[n] / whole, weights[n]))
