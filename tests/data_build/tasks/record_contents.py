"""What the record of a built stream says that was heard, and answered."""

from __future__ import annotations

from collections.abc import Iterator

from soundflow.protocol.turns import Event
from soundflow.shards.schema import MixedItem, StreamRecord


def said(record: StreamRecord) -> list[str]:
    return [reply.text for reply in record.replies]


def right(record: StreamRecord) -> list[tuple[str, ...]]:
    """All that would be right in place of each reply, in the order of the replies."""
    answered = [event.answers for event in record.events if event.must_respond]
    return [next(a for a in answered if text in a) for text in said(record)]


def items(record: StreamRecord, track: str = "foreground") -> list[MixedItem]:
    return [i for i in record.items if i.track == track]


def content(record: StreamRecord) -> tuple[list[MixedItem], list[str]]:
    """Foreground items and replies after a spoken instruction; a written one is in the prefix."""
    spoken = record.provenance["notes"].get("instructed") == "spoken"
    assert bool(record.system) == (record.provenance["notes"].get("instructed") == "written")
    front = items(record)
    assert not spoken or front[0].what == "user turn"
    return front[spoken:], said(record)[spoken:]


def ends(record: StreamRecord) -> Iterator[tuple[Event, int]]:
    """Answered events with the chunk in which they end."""
    for event in record.events:
        if event.must_respond:
            yield event, -(-event.ready_samples // 6_400) - 1
