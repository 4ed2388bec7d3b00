"""The outcomes of a system without a threshold, kept item by item like those of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inference.evaluate.outcome import Outcome
from inference.evaluate.store import OutcomeStore, Part, Stored
from inference.evaluate.task import Item, System


def answers(
    system: System[object],
    items: Sequence[Item[object]],
    store: OutcomeStore,
    part: Part,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> list[Outcome] | None:
    """One outcome for each item; what the store holds is not asked again.

    Args:
        part: the share of the items to ask.
        tell: called with how many of the share are there, and how many it has.

    Returns:
        None while other parts are missing.
    """
    share = [items[k] for k in part.share(len(items))]
    missing = [item for item in share if not store.of(item.id)]
    done = len(share) - len(missing)
    tell(done, len(share))
    if missing:
        with store.appending() as appender:
            for item, outcome in system.run(missing):
                appender.add(Stored(item, None, outcome))
                done += 1
                tell(done, len(share))
    found = [stored[-1].outcome for item in items if (stored := store.of(item.id))]
    return found if len(found) == len(items) else None
