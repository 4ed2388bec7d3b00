"""Derives events (ground truth) and replies of a stream, on the chunk grid.

A reply belongs to the chunk that holds the last sample a listener needs (protocol: `reply_chunk`).
At most one turn begins in a chunk. Words of one clip that are due in the same chunk are one reply
(a partial transcript); the reply to another clip waits for the next free chunk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from data_build.compose.mix import Placed
from data_build.drops import Drop, Dropped
from data_build.plans import LabelledPlan
from data_build.pools.onsets import onset_samples
from data_build.records import PlannedReply
from soundflow.protocol.timebase import TimeBase, to_samples
from soundflow.protocol.turns import Basis, Event, Reply

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
    dated: list[tuple[int, Due]] = []  # item, reply
    for position, (planned, where) in enumerate(zip(labelled.replies, placed, strict=True)):
        dated += [(position, one) for one in due(planned, where, time)]
    events = [
        Event(item.what, where.on_samples, where.end_samples, where.end_samples)
        for item, where, planned in zip(items, placed, labelled.replies, strict=True)
        if not planned
    ]
    replies: dict[int, Reply] = {}
    chunks: list[list[int]] = [[] for _ in items]
    on = [where.on_samples for where in placed]
    for position, one in sorted(dated, key=lambda d: (d[1].ready_samples, d[0])):
        item, where = items[position], placed[position]
        ready, reply = one.ready_samples, one.reply
        answers = tuple(dict.fromkeys((reply.text, reply.plain, *reply.answers)))
        events.append(
            Event(item.what, on[position], ready, where.end_samples, True, answers, one.basis)
        )
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


@dataclass(frozen=True)
class Due:
    """A reply, and the sample of the stream after which it is due."""

    ready_samples: int
    reply: PlannedReply
    basis: Basis


def due(replies: Sequence[PlannedReply], where: Placed, time: TimeBase) -> list[Due]:
    """The replies to an item, in the order in which they are due."""
    dated = sorted((_dated(reply, where) for reply in replies), key=lambda d: d.ready_samples)
    merged: list[Due] = []
    for one in dated:
        last = merged[-1] if merged else None
        if last and time.reply_chunk(last.ready_samples) == time.reply_chunk(one.ready_samples):
            text = _joined(last.reply.text, one.reply.text)
            plain = _joined(last.reply.plain, one.reply.plain)
            reply = replace(last.reply, text=text, answers=(), plainest=plain)
            merged[-1] = replace(one, reply=reply)
        else:
            merged.append(one)
    return merged


def _dated(reply: PlannedReply, where: Placed) -> Due:
    """When a reply to an item is due, never after the end of its audible part.

    A time of its own; where part of the sound is enough, the moment that the maker of a synthetic
    sound gives (not of an ambience, which is repeated), or what a listener needs after the onset
    (where a tagging model has recognised a recording before twice that, there); else the end.
    """
    basis, made = reply.basis, None if where.role == "ambient" else where.clip.ready_samples
    if reply.after_s is not None:
        ready = where.start_samples + where.clip.at(reply.after_s)
    elif reply.needs_s is not None and made is not None and not where.clip.ready_by:
        ready, basis = where.start_samples + made, "known"
    elif reply.needs_s is not None:
        onset, needed = onset_samples(where.samples), to_samples(reply.needs_s)
        ready = where.start_samples + onset + needed
        if made is not None and made <= onset + 2 * needed:
            ready, basis = where.start_samples + made, "measured"
    else:
        ready, basis = where.end_samples, "measured"
    if ready >= where.end_samples:  # the sound is over before
        ready, basis = where.end_samples, "measured" if basis == "assumed" else basis
    return Due(max(ready, where.on_samples + 1), reply, basis)


def _joined(one: str, other: str) -> str:
    """With a space between, except between characters that are written without."""
    return f"{one}{other}" if _IDEOGRAPHS.search(f"{one[-1:]}{other[:1]}") else f"{one} {other}"
