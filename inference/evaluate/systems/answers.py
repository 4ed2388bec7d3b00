"""The outcomes of a system without a threshold, kept item by item like those of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inference.evaluate.outcome import FailureKind, Outcome
from inference.evaluate.store import OutcomeStore, Part, Stored
from inference.evaluate.task import Item, System

# An outage, a busy server: another time it may go well.
PASSING: tuple[FailureKind, ...] = ("dropped connection", "error event", "time-out")


def answers(
    system: System[object],
    items: Sequence[Item[object]],
    store: OutcomeStore,
    part: Part,
    tell: Callable[[int, int], None] = lambda done, total: None,
    asked_again: int = 0,
) -> list[Outcome] | None:
    """One outcome for each item; what the store holds is not asked again.

    Args:
        part: the share of the items to ask.
        asked_again: how often an item is that failed at the other end.
        tell: called with how many of the share are there, and how many it has.

    Returns:
        None while other parts are missing.
    """
    share = [items[k] for k in part.share(len(items))]
    missing = [item for item in share if _is_due(store.of(item.id), asked_again)]
    done = len(share) - len(missing)
    tell(done, len(share))
    if missing:
        with store.appending() as appender:
            for item, outcome in system.run(missing):
                appender.add(Stored(item, None, outcome))
                done += 1
                tell(done, len(share))
    store.refresh()
    found = [stored[-1].outcome for item in items if (stored := store.of(item.id))]
    return found if len(found) == len(items) else None


def _is_due(stored: Sequence[Stored], asked_again: int) -> bool:
    """Whether an item is to be asked: never was, or failed in a way that may pass."""
    if not stored:
        return True
    failure = stored[-1].outcome.failure
    return failure is not None and failure.kind in PASSING and len(stored) <= asked_again
