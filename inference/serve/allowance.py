"""How much a client may send: so much a second, and so much at once."""

from __future__ import annotations


class Allowance:
    """A token bucket that begins full.

    Args:
        per_s: what is added in a second.
        at_once: what it holds at most.
    """

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s = per_s
        self._at_once = at_once
        self._left = at_once
        self._asked_s: float | None = None

    def take(self, amount: float, now_s: float) -> bool:
        """Takes ``amount`` if it is there, and says whether it was."""
        if self._asked_s is not None:
            earned = (now_s - self._asked_s) * self._per_s
            self._left = min(self._at_once, self._left + earned)
        self._asked_s = now_s
        if amount > self._left:
            return False
        self._left -= amount
        return True
