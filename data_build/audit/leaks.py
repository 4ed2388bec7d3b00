"""Leaks: what streams of different splits share, by every key that the splits are dealt by.

A phrase that a recipe names as a cue is vocabulary of its tasks, so every split has it; it does not
count.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from data_build.audit.limits import AuditLimits
from data_build.audit.measure import AuditedStream, Figure, Limit
from data_build.pools.identity import identifying
from data_build.randomness import hash64
from data_build.speech.speech_source import CUE_PHRASES
from soundflow.shards.schema import MixedItem, SourceClip, StreamRecord

UInt64 = npt.NDArray[np.uint64]
_SHOWN = 5
_KEYS = ("clip", "recording", "near-duplicate", "group", "speaker", "text", "translation")


class _Uses:
    """Which streams use which keys of one kind: 16 bytes a use, however long the keys are."""

    def __init__(self) -> None:
        self._keys, self._streams = array("Q"), array("Q")

    def add(self, key: str, stream: int) -> None:
        """Notes that a stream, by its number in the corpus, uses a key."""
        self._keys.append(hash64(key))
        self._streams.append(stream)

    def shared(self, split_of: UInt64) -> tuple[int, UInt64, UInt64]:
        """What more than one split uses.

        Args:
            split_of: (streams of the corpus,) uint64, the number of each one's split.

        Returns:
            How many keys there are; the keys (uses,) and the streams (uses,) of all uses of keys
            that more than one split has, in the order of the keys.
        """
        keys = np.frombuffer(self._keys, np.uint64)
        streams = np.frombuffer(self._streams, np.uint64)
        order = np.argsort(keys, kind="stable")
        keys, streams = keys[order], streams[order]
        starts = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
        if not len(starts):
            return 0, keys, streams
        split = split_of[streams]
        mixed = np.minimum.reduceat(split, starts) != np.maximum.reduceat(split, starts)
        chosen = np.repeat(mixed, np.diff(starts, append=len(keys)))
        return len(starts), keys[chosen], streams[chosen]


class Leaks:
    """Keys that more than one split has, and the streams of all splits but the largest with one.

    Keys are compared by 64 bits of their digest. Of 10^8 different ones, some 0.0003 pairs fall
    together (n^2 / 2^65).
    """

    def __init__(self, limits: AuditLimits) -> None:
        self._limits = {
            key: Limit("at_most", limits.shared_speakers if key == "speaker" else limits.leaks)
            for key in _KEYS
        }
        self._uses = {key: _Uses() for key in _KEYS}
        self._splits: dict[str, int] = {}
        self._split_of, self._names = array("Q"), list[str]()  # of every stream

    def add(self, stream: AuditedStream) -> None:
        for key, value in keys_of(stream.record):
            self._uses[key].add(value, len(self._split_of))
        self._names.append(stream.name)
        self._split_of.append(self._splits.setdefault(stream.split, len(self._splits)))

    def figures(self) -> Iterator[Figure]:
        if len(self._splits) < 2:
            return
        names, split_of = list(self._splits), np.frombuffer(self._split_of, np.uint64)
        sizes = np.bincount(split_of.astype(np.int64))
        largest = max(range(len(names)), key=lambda at: (sizes[at], names[at]))
        held_out = len(split_of) - int(sizes[largest])

        for key in _KEYS:
            n_keys, keys, streams = self._uses[key].shared(split_of)
            n_shared = len(np.unique(keys))
            touched = np.unique(streams[split_of[streams] != largest])
            of = (
                f"{n_shared} of {n_keys}; {len(touched)} of {held_out} streams outside "
                f"{names[largest]}"
            )
            examples = tuple(
                f"{self._names[stream]} shares it with "
                f"{self._names[_partner(stream, keys, streams, split_of)]}"
                for stream in touched[:_SHOWN].tolist()
            )
            n = held_out if n_keys else 0  # a corpus need not know its speakers or groups
            share = len(touched) / held_out
            yield Figure(f"leaks by {key}", share, n, self._limits[key], of, examples)


def _partner(stream: int, keys: UInt64, streams: UInt64, split_of: UInt64) -> int:
    """A stream of another split that shares a key with this one; see `_Uses.shared`."""
    key = keys[np.flatnonzero(streams == stream)[0]]
    users = streams[keys == key]
    return int(users[split_of[users] != split_of[stream]][0])


def keys_of(record: StreamRecord) -> Iterator[tuple[str, str]]:
    """Every key of a stream: (kind of key, value)."""
    said = {reply.chunk: reply.text for reply in record.replies}
    for item in record.items:
        if item.clip.corpus == CUE_PHRASES.corpus:
            continue
        if item.speaker:
            yield "speaker", item.speaker
        if text := identifying(item.text):
            yield "text", text
        if record.ability == "streaming_translation":
            told = " ".join(said[chunk] for chunk in item.reply_chunks if chunk in said)
            if translation := identifying(told):
                # One key space: the same pair turned round has it as its text.
                yield "translation", translation
                yield "text", translation
        yield from _of_clip(item.clip, item)
    for track in record.noise:
        for clip in track.clips:
            yield from _of_clip(clip, None)
    if text := identifying(record.system):
        yield "text", text
    asked = record.offline.user if record.offline is not None and not record.items else None
    if text := identifying(asked or ""):
        yield "text", text


def _of_clip(clip: SourceClip, item: MixedItem | None) -> Iterator[tuple[str, str]]:
    if item is None or not item.text or clip.recording:
        yield "clip", clip.id
    if clip.recording:
        yield "recording", clip.recording
    if clip.near_duplicates:
        yield "near-duplicate", clip.near_duplicates
    if clip.group:
        yield "group", clip.group
