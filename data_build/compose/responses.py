"""Derives events (ground truth) and replies of a stream, on the chunk grid.

A reply belongs to the chunk that holds the last sample a listener needs (protocol: `reply_chunk`).
At most one turn begins in a chunk. Words of one clip that are due in the same chunk are one reply
(a partial transcript); the reply to another clip waits for the next free chunk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from data_build.compose.mix import Placed
from data_build.drops import Drop, Dropped
from data_build.records import Item, PlannedReply
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event, Reply

_IDEOGRAPHS = re.compile("^[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]{2}$")


def responses(
    items: Sequence[Item],
    placed: Sequence[Placed],
    n_samples: int,
    time: TimeBase,
    reaction_samples: int = 0,
) -> tuple[tuple[Event, ...], tuple[Reply, ...]]:
    """Events and replies of the foreground items, in order.

    Args:
        reaction_samples: audio after t_ready before a reply is due, so that the chunk of the
            decision shows that something has ended. It moves replies, never the ground truth.

    Raises:
        Dropped: if a reply finds no free chunk before the end of the stream.
    """
    events: list[Event] = []
    replies: dict[int, Reply] = {}
    for item, where in zip(items, placed, strict=True):
        if item.track != "foreground":
            continue
        on = where.on_samples
        for ready, planned in due(item, where, time):
            answers = tuple(dict.fromkeys((planned.text, *planned.answers)))
            events.append(Event(item.what, on, ready, where.end_samples, True, answers))
            chunk = time.reply_chunk(ready + reaction_samples)
            while chunk in replies:
                chunk += 1
            if chunk >= time.chunks_in(n_samples):
                reason = "no chunk is left for a reply before the stream ends"
                raise Dropped(Drop("compose", item.clip.id, reason, "choice"))
            replies[chunk] = Reply(chunk, planned.text, planned.emotion)
            on = min(ready, where.end_samples - 1)
        if not item.replies:
            events.append(Event(item.what, on, where.end_samples, where.end_samples))
    return tuple(events), tuple(replies[c] for c in sorted(replies))


def due(item: Item, where: Placed, time: TimeBase) -> list[tuple[int, PlannedReply]]:
    """The replies of an item with the sample of the stream after which each is due, in order.

    A reply without a time of its own is due at the ready time of the clip, if it has one, otherwise
    at the end of its audible part.
    """
    dated: list[tuple[int, PlannedReply]] = []
    for planned in item.replies:
        ready = where.end_samples
        if planned.after_s is not None:
            ready = where.start_samples + where.clip.at(planned.after_s)
        elif where.clip.ready_samples is not None:
            ready = where.start_samples + where.clip.ready_samples
        dated.append((min(max(ready, where.on_samples + 1), where.end_samples), planned))
    dated.sort(key=lambda pair: pair[0])
    merged: list[tuple[int, PlannedReply]] = []
    for ready, planned in dated:
        if merged and time.reply_chunk(merged[-1][0]) == time.reply_chunk(ready):
            text = _joined(merged[-1][1].text, planned.text)
            merged[-1] = (ready, replace(merged[-1][1], text=text, answers=()))
        else:
            merged.append((ready, planned))
    return merged


def _joined(one: str, other: str) -> str:
    """With a space between, except between characters that are written without."""
    return f"{one}{other}" if _IDEOGRAPHS.search(f"{one[-1:]}{other[:1]}") else f"{one} {other}"
