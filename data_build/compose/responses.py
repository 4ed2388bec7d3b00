"""What is heard becomes truth (events) and what is said becomes replies, on the chunk grid.

A reply belongs to the chunk that holds the last sample a listener needs (protocol: `reply_chunk`).
At most one turn begins in a chunk: a second one waits for the next free chunk.
"""

from __future__ import annotations

from collections.abc import Sequence

from data_build.compose.mix import Placed
from data_build.records import Item
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event, Reply


def responses(
    items: Sequence[Item], placed: Sequence[Placed], n_samples: int, time: TimeBase
) -> tuple[tuple[Event, ...], tuple[Reply, ...]]:
    """Events and replies of the foreground items, in order.

    Raises:
        ValueError: if a reply finds no free chunk before the end of the stream.
    """
    events: list[Event] = []
    replies: dict[int, Reply] = {}
    for item, where in zip(items, placed, strict=True):
        if item.track != "foreground":
            continue
        on = where.on_samples
        for planned in item.replies:
            ready = where.end_samples
            if planned.after_s is not None:
                ready = where.start_samples + time.samples(planned.after_s)
            ready = min(max(ready, on + 1), where.end_samples)
            answers = tuple(dict.fromkeys((planned.text, *planned.answers)))
            events.append(Event(item.what, on, ready, where.end_samples, True, answers))
            chunk = time.reply_chunk(ready)
            while chunk in replies:
                chunk += 1
            if chunk >= time.chunks_in(n_samples):
                raise ValueError(f"no chunk is left for the reply {planned.text!r}")
            replies[chunk] = Reply(chunk, planned.text, planned.emotion)
            on = min(ready, where.end_samples - 1)
        if not item.replies:
            events.append(Event(item.what, on, where.end_samples, where.end_samples))
    return tuple(events), tuple(replies[c] for c in sorted(replies))
