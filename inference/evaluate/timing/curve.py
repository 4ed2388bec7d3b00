"""Figures over the speak threshold, and the choice of one on held-out streams (protocol 1.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.decoder.policy import UNCALIBRATED_THRESHOLD
from inference.evaluate.statistics.counts import hours_needed
from inference.evaluate.statistics.figures import COVERAGE, Array, Draws, Figure
from inference.evaluate.timing.metrics import Metrics, figures
from inference.evaluate.timing.rows import TimingRow

HEADLINE_FALSE_PER_HOUR = (0.5, 2.0)

Curve = Mapping[float, Sequence[TimingRow]]


def logit_grid(n: int = 11, widest: float = 5.0) -> tuple[float, ...]:
    """Thresholds evenly spaced in log-odds around 0.5, to resolve a confident model."""
    steps = [widest * (2.0 * i / (n - 1) - 1.0) for i in range(n)]
    return tuple(1.0 / (1.0 + math.exp(-s)) for s in steps)


@dataclass(frozen=True)
class Choice:
    """A threshold chosen on held-out streams.

    Attributes:
        rule: what it is the best for.
        value: the F1 or the recall that it had there; None where nothing could be chosen.
        low, high: the thresholds that other draws of the same streams would have given, 95 %.
        hours_negative: how much silence-only audio the choice saw.
    """

    threshold: float
    rule: str
    value: float | None
    low: float | None = None
    high: float | None = None
    hours_negative: float = 0.0


@dataclass(frozen=True)
class OperatingPoint:
    """Recall at a budget of false triggers: chosen on one half, measured on the other.

    Attributes:
        budget: false triggers an hour of silence-only audio.
        chosen: on the calibration half; None if no threshold of the curve keeps to the budget.
        recall, false_per_hour: on the test half at that threshold, the latter on silence-only
            audio.
        hours_negative: silence-only audio of the test half.
    """

    budget: float
    chosen: Choice | None
    recall: Figure
    false_per_hour: Figure
    false_per_hour_all: Figure
    hours_negative: float

    @property
    def hours_needed(self) -> float:
        """Silence-only hours without which nobody can claim this budget (rule of three)."""
        return hours_needed(self.budget)

    @property
    def refusal(self) -> str | None:
        """Why there is no figure to print."""
        if self.hours_negative < self.hours_needed:
            return (
                f"needs {self.hours_needed:.1f} h of silence-only audio, "
                f"these are {self.hours_negative:.2f} h; timing.negatives adds some"
            )
        if self.chosen is None:
            return "on the calibration split no threshold of the curve keeps to it"
        return None

    def to_json(self) -> dict[str, Any]:
        refusal = self.refusal
        return {
            "budget_per_hour": self.budget,
            "hours_needed": self.hours_needed,
            "hours_negative": self.hours_negative,
            "refused": refusal,
            "chosen": vars(self.chosen) if self.chosen else None,
            "recall": None if refusal else self.recall.to_json(),
            "false_per_hour_negative": None if refusal else self.false_per_hour.to_json(),
            "false_per_hour": None if refusal else self.false_per_hour_all.to_json(),
        }


@dataclass(frozen=True)
class _Sums:
    """Columns of a curve, each (n_thresholds, n_streams), thresholds ascending."""

    thresholds: Array
    hits: Array
    wanted: Array
    said: Array
    false_negative: Array
    hours_negative: Array

    @staticmethod
    def of(curve: Curve) -> _Sums:
        ordered = sorted(curve)

        def column(name: str) -> Array:
            return np.array([[float(getattr(r, name)) for r in curve[t]] for t in ordered])

        negative = column("negative")
        return _Sums(
            np.array(ordered), column("hits"), column("wanted"), column("said"),
            column("false") * negative, column("heard_hours") * negative,
        )  # fmt: skip


def choose_f1(curve: Curve, seed: int = 0) -> Choice:
    """The best F1; among equals the middle one, farthest from where it begins to fall."""
    sums = _Sums.of(curve)

    def best(weights: Array) -> Array:
        f1 = _ratio(2.0 * weights @ sums.hits.T, weights @ (sums.wanted + sums.said).T)
        return _middle_of_best(f1)

    return _chosen(sums, best, "f1", sums.hits * 2.0, sums.wanted + sums.said, seed)


def choose_recall_at(curve: Curve, budget: float, seed: int = 0) -> Choice | None:
    """The best recall with at most ``budget`` false triggers an hour of silence-only audio.

    Among equals the highest threshold. None if no threshold keeps to the budget.
    """
    sums = _Sums.of(curve)

    def best(weights: Array) -> Array:
        recall = _ratio(weights @ sums.hits.T, weights @ sums.wanted.T)
        rate = _ratio(weights @ sums.false_negative.T, weights @ sums.hours_negative.T)
        return _last_of_best(np.where(rate <= budget, recall, np.nan))

    found = _chosen(sums, best, f"recall at {budget:g} false/h", sums.hits, sums.wanted, seed)
    return None if found.value is None else found


def operating_point(
    budget: float, calibration: Curve, test: Curve, signature: str
) -> OperatingPoint:
    """Chosen on ``calibration``, measured on ``test``; both hold the same thresholds."""
    chosen = choose_recall_at(calibration, budget)
    rows = next(iter(test.values())) if chosen is None else test[chosen.threshold]
    hours = sum(r.heard_hours for r in rows if r.negative)
    if chosen is None:
        nothing = Figure(None, signature=signature)
        return OperatingPoint(budget, None, nothing, nothing, nothing, hours)
    found = figures(test[chosen.threshold], signature)
    return OperatingPoint(
        budget, chosen, found["recall"], found["false_per_hour_negative"],
        found["false_per_hour"], hours,
    )  # fmt: skip


def _chosen(
    sums: _Sums,
    best: Any,
    rule: str,
    numerator: Array,
    denominator: Array,
    seed: int,
) -> Choice:
    n_streams = sums.hits.shape[1]
    (at,) = best(np.ones((1, n_streams)))
    hours = float(sums.hours_negative[0].sum())
    if np.isnan(at):
        return Choice(UNCALIBRATED_THRESHOLD, rule, None, hours_negative=hours)
    again = best(Draws.of(n_streams, seed).counts)
    others = sums.thresholds[again[~np.isnan(again)].astype(int)]
    tail = (1.0 - COVERAGE) / 2.0
    low, high = np.quantile(others, [tail, 1.0 - tail], method="nearest")
    k = int(at)
    value = float(numerator[k].sum() / denominator[k].sum())
    return Choice(float(sums.thresholds[k]), rule, value, float(low), float(high), hours)


def _ratio(top: Array, bottom: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = top / bottom
    return found


def _middle_of_best(scores: Array) -> Array:
    """(n, n_thresholds) -> position of the middle one of the best, (n,); NaN where all are."""
    return np.array([_pick(row, middle=True) for row in scores])


def _last_of_best(scores: Array) -> Array:
    return np.array([_pick(row, middle=False) for row in scores])


def _pick(row: npt.NDArray[np.float64], *, middle: bool) -> float:
    if np.isnan(row).all():
        return float("nan")
    ties = np.flatnonzero(row == np.nanmax(row))
    return float(ties[len(ties) // 2] if middle else ties[-1])


def to_json(curve: Mapping[float, Metrics]) -> list[dict[str, Any]]:
    names: Sequence[str] = (
        "recall", "precision", "f1", "false_per_hour", "false_per_hour_negative",
    )  # fmt: skip
    return [
        {"threshold": t, **{n: m[n].to_json() for n in names}} for t, m in sorted(curve.items())
    ]
