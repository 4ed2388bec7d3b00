"""Leaks: what streams of different splits share, by every key that the splits are dealt by.

A phrase that a recipe names as a cue is vocabulary of its tasks, so every split has it; it does not
count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from data_build.audit.limits import AuditLimits
from data_build.audit.measure import AuditedStream, Figure, Limit
from data_build.pools.identity import identifying
from data_build.speech.speech_source import CUE_PHRASES
from soundflow.shards.schema import MixedItem, SourceClip, StreamRecord

_SHOWN = 5
_KEYS = ("clip", "recording", "near-duplicate", "group", "speaker", "text", "translation")


@dataclass
class _Use:
    """The splits that use a key, and in how many of their streams."""

    streams: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


class Leaks:
    """Keys that more than one split has, and the streams of all splits but the largest with one."""

    def __init__(self, limits: AuditLimits) -> None:
        self._limits = {
            key: Limit("at_most", limits.shared_speakers if key == "speaker" else limits.leaks)
            for key in _KEYS
        }
        self._uses: dict[str, dict[str, _Use]] = {key: defaultdict(_Use) for key in _KEYS}
        self._streams: dict[str, int] = defaultdict(int)

    def add(self, stream: AuditedStream) -> None:
        number = self._streams[stream.split]
        self._streams[stream.split] += 1
        for key, value in keys_of(stream.record):
            self._uses[key][value].streams[stream.split].add(number)

    def figures(self) -> Iterator[Figure]:
        if len(self._streams) < 2:
            return
        largest = max(self._streams, key=lambda split: (self._streams[split], split))
        held_out = sum(n for split, n in self._streams.items() if split != largest)
        for key in _KEYS:
            uses = self._uses[key]
            shared = sorted(value for value, use in uses.items() if len(use.streams) > 1)
            touched = {
                (split, number)
                for value in shared
                for split, numbers in uses[value].streams.items()
                if split != largest
                for number in numbers
            }
            streams = f"{len(touched)} of {held_out} streams outside {largest}"
            of = f"{len(shared)} of {len(uses)}; {streams}"
            examples = tuple(
                f"{value}: {', '.join(sorted(uses[value].streams))}" for value in shared[:_SHOWN]
            )
            share = len(touched) / held_out
            yield Figure(f"leaks by {key}", share, "", self._limits[key], of, examples)


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
