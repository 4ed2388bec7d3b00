"""Which state of a run is the best, by how well validations found its timing to be."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from soundflow.atomic import write_text
from soundflow.stored_json import parsed


@dataclass(frozen=True)
class Timing:
    """How well a validation found the timing to be, and the held-out loss beside it.

    Attributes:
        value: more is better.
        standard_error: of it, over the choice of streams.
    """

    value: float
    standard_error: float
    loss: float


@dataclass(frozen=True)
class Best:
    """Which state is the best, and the best timing that any state had.

    The timing of a few dozen streams is a noisy figure, and the highest of many is often luck. All
    states within one standard error of it count as equally good; among them that with the lowest
    held-out loss is the best, which is measured on all held-out streams (the rule of one standard
    error: Breiman et al., 1984).
    """

    update: int
    timing: Timing
    highest: Timing

    def or_else(self, update: int, timing: Timing) -> Best:
        """With one more measurement; its ``update`` is that of the best state then."""
        highest = max(self.highest, timing, key=lambda t: t.value)
        enough = highest.value - highest.standard_error
        outdone = self.timing.value < enough or timing.loss < self.timing.loss
        if timing.value >= enough and outdone:
            return Best(update, timing, highest)
        return Best(self.update, self.timing, highest)

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> Best | None:
        """None before the first measurement of the timing, or if the file is damaged."""
        try:
            note = parsed(path.read_bytes())
            return Best(note["update"], Timing(**note["timing"]), Timing(**note["highest"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
