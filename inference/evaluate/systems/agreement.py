"""Whether outcomes depend on how many items are decoded at once, and how near a tie that was.

Sums of floats depend on the shape of a batch. Where p(response) falls on the threshold itself, that
may turn a decision; anywhere else a different decision is a defect.
"""

from __future__ import annotations

import math

from inference.evaluate.outcome import Outcome

# Log-odds within which rounding may turn a decision.
TIE = 1e-4


def first_flip(one: Outcome, other: Outcome, threshold: float) -> float | None:
    """How far from a tie the first differing decision was, in log-odds; None if none differs.

    After the first one the histories differ, so later differences follow from it.
    """
    bound = _log_odds(threshold)
    for a, b in zip(one.p_response, other.p_response, strict=False):
        if a is None or b is None:
            continue
        if (a >= threshold) != (b >= threshold):
            return max(abs(_log_odds(a) - bound), abs(_log_odds(b) - bound))
    return None


def same(one: Outcome, other: Outcome) -> bool:
    """Whether both gave the same replies; probabilities may differ in their last bits."""
    return (one.replies, one.failure) == (other.replies, other.failure)


def _log_odds(p: float) -> float:
    if p in (0.0, 1.0):
        return math.copysign(math.inf, p - 0.5)
    return math.log(p / (1.0 - p))
