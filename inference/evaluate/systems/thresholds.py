"""Decodes items at many thresholds, each only as often as the decisions differ.

One decoding covers a range of thresholds: as long as no p(response) lies between two thresholds,
every decision, and so everything after it, is the same. Only items outside their known ranges are
decoded again; with a confident model these are few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inference.evaluate.outcome import Outcome
from inference.evaluate.store import OutcomeStore, Stored
from inference.evaluate.systems.model import Model, groups
from inference.evaluate.task import Item
from soundflow.protocol.timebase import TimeBase


def holds_at(stored: Stored, threshold: float, time: TimeBase) -> bool:
    """Whether a session with this threshold would have done the same."""
    if stored.threshold == threshold:
        return True
    outcome = stored.outcome
    if outcome.failure is not None or not outcome.p_response:
        return False
    spoke = {r.at_samples for r in outcome.replies}
    silent_at, spoke_at = -1.0, 2.0
    for chunk, p in enumerate(outcome.p_response):
        if p is None:
            continue
        if time.decision_time_samples(chunk) in spoke:
            spoke_at = min(spoke_at, p)
        else:
            silent_at = max(silent_at, p)
    return silent_at < threshold <= spoke_at


def outcome_at(store: OutcomeStore, item: str, threshold: float, time: TimeBase) -> Outcome | None:
    """What is known of an item at a threshold; None if it was not decoded there."""
    for stored in store.of(item):
        if holds_at(stored, threshold, time):
            return stored.outcome
    return None


def decode_at(
    model: Model,
    items: Sequence[Item[object]],
    thresholds: Sequence[float],
    store: OutcomeStore,
    tell: Callable[[int], None] = lambda n: None,
) -> None:
    """Brings ``store`` to hold every item at every threshold.

    Args:
        tell: called with the number of items that are complete; a group of them advances together,
            threshold by threshold.
    """
    time = model.engine.spec.time
    with store.appending() as appender:
        done = 0
        for group in groups(items, time):
            for n, threshold in enumerate(thresholds):
                known = [outcome_at(store, item.id, threshold, time) for item in group]
                missing = [i for i, found in zip(group, known, strict=True) if found is None]
                decodings = model.at(threshold).run(missing)
                for n_decoded, (item, outcome) in enumerate(decodings, start=1):
                    appender.add(Stored(item, threshold, outcome))
                    share = (n + n_decoded / len(missing)) / len(thresholds)
                    tell(done + int(share * len(group)))
            done += len(group)
            tell(done)
