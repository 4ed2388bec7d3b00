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
from data_build.records import LabelledPlan, PlannedReply
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event, Reply

_IDEOGRAPHS = re.compile("^[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]{2}$")


def responses(
    labelled: LabelledPlan,
    placed: Sequence[Placed],
    n_samples: int,
    time: TimeBase,
    reaction_samples: int = 0,
) -> tuple[tuple[Event, ...], tuple[Reply, ...], tuple[tuple[int, ...], ...]]:
    """Events and replies in the order of time, and the chunks in which each item is answered.

    Args:
        placed: the items of the plan in the stream, on any track.
        reaction_samples: audio after t_ready before a reply is due, so that the chunk of the
            decision shows that something has ended. It moves replies, never the ground truth.

    Raises:
        Dropped: if a reply finds no free chunk before the end of the stream.
    """
    items = labelled.plan.items
    dated: list[tuple[int, int, PlannedReply]] = []  # ready, item, reply
    for position, (planned, where) in enumerate(zip(labelled.replies, placed, strict=True)):
        dated += [(ready, position, reply) for ready, reply in due(planned, where, time)]
    events = [
        Event(item.what, where.on_samples, where.end_samples, where.end_samples)
        for item, where, planned in zip(items, placed, labelled.replies, strict=True)
        if not planned
    ]
    replies: dict[int, Reply] = {}
    chunks: list[list[int]] = [[] for _ in items]
    on = [where.on_samples for where in placed]
    for ready, position, reply in sorted(dated, key=lambda d: d[:2]):
        item, where = items[position], placed[position]
        answers = tuple(dict.fromkeys((reply.text, *reply.answers)))
        events.append(Event(item.what, on[position], ready, where.end_samples, True, answers))
        on[position] = min(ready, where.end_samples - 1)
        chunk = time.reply_chunk(ready + reaction_samples)
        while chunk in replies:
            chunk += 1
        if chunk >= time.chunks_in(n_samples):
            reason = "no chunk is left for a reply before the stream ends"
            raise Dropped(Drop("compose", item.clip.id, reason, "choice"))
        replies[chunk] = Reply(chunk, reply.text, reply.emotion)
        chunks[position].append(chunk)
    events.sort(key=lambda e: (e.ready_samples, e.on_samples))
    in_order = tuple(replies[c] for c in sorted(replies))
    return tuple(events), in_order, tuple(map(tuple, chunks))


def due(
    replies: Sequence[PlannedReply], where: Placed, time: TimeBase
) -> list[tuple[int, PlannedReply]]:
    """The replies to an item with the sample of the stream after which each is due, in order.

    A reply without a time of its own is due at the ready time of the clip, if it has one, otherwise
    at the end of its audible part.
    """
    dated: list[tuple[int, PlannedReply]] = []
    for planned in replies:
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
