"""Which streams to show: those with misses and false triggers first."""

from __future__ import annotations

from inference.evaluate.outcome import Outcome
from inference.evaluate.systems.model import Model
from inference.evaluate.timing.halves import Half
from inference.evaluate.timing.measure import one_of_each_task
from soundflow.shards.schema import StreamSample

Drawn = tuple[StreamSample, Outcome]


def instructive(half: Half, model: Model, wanted: int) -> list[Drawn]:
    """Streams to draw: those with most misses and false triggers, task by task, then others.

    A third of the places is kept for streams without a mistake, where there are any.
    """
    outcomes = half.outcomes(model.threshold)
    assert outcomes is not None
    rows = half.rows(model.threshold)
    mistakes = {i: n for i, r in enumerate(rows) if (n := r.misses + r.false + r.failed)}
    # What cannot be read cannot be shown.
    readable = [i for i, o in enumerate(outcomes) if o.failure is None or o.p_response]
    wrong = sorted((i for i in readable if i in mistakes), key=lambda i: -mistakes[i])
    order = [wrong[k] for k in one_of_each_task([half.items[i].reference for i in wrong])]
    right = [i for i in one_of_each_task(half.truths) if i not in mistakes and i in set(readable)]
    n_right = min(len(right), max(wanted // 3, wanted - len(wrong)))
    chosen = order[: wanted - n_right] + right[:n_right]
    return [(half.read(i), outcomes[i]) for i in chosen]
