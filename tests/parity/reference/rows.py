"""One line of the parity table: what is compared, how far apart it is, how far it may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """``measured`` is the largest absolute difference, or a count of items that differ."""

    what: str
    against: str
    measured: float
    tolerance: float
    unit: str = "max abs"

    @property
    def holds(self) -> bool:
        return self.measured <= self.tolerance  # NaN does not hold

    def cells(self) -> tuple[str, str, str, str]:
        def show(value: float) -> str:
            return f"{value:.0f}" if self.unit != "max abs" else f"{value:.1e}"

        return self.what, self.against, f"{show(self.measured)} {self.unit}", show(self.tolerance)
