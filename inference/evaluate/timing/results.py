"""What was measured of the timing of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inference.evaluate.statistics.figures import Figure
from inference.evaluate.systems.baselines import SilenceTimer
from inference.evaluate.task import Table
from inference.evaluate.timing import curve as curves
from inference.evaluate.timing.breakdown import KindScore, TaskScore
from inference.evaluate.timing.curve import Choice, OperatingPoint
from inference.evaluate.timing.metrics import Metrics
from inference.evaluate.timing.reliability import Reliability
from inference.evaluate.timing.stability import Length
from inference.latency import Latency


@dataclass(frozen=True)
class Agreement:
    """Single live sessions beside the same items decoded many at a time.

    Attributes:
        sessions, same: how many were compared, and how many gave the same decisions and replies.
        flips: decisions that differed after the same history.
        widest: log-odds between p(response) and the threshold at the flip that was farthest from a
            tie; None without one. Beyond `systems.agreement.TIE` it is a defect and not rounding.
    """

    sessions: int
    same: int
    flips: int = 0
    widest: float | None = None


@dataclass(frozen=True)
class TimingResults:
    """Everything about when a model speaks.

    Attributes:
        data_fingerprint: of the content that was measured.
        n_streams: online streams that were decoded.
        n_offline: samples of the split that are no streams (offline exchanges); not measured here.
        chosen: the threshold, and what it was chosen for; None where the checkpoint's own is kept.
        systems: window in seconds -> system -> figures.
        curve: threshold -> figures at the headline window.
        points: recall at fixed budgets of false triggers; empty without a calibration split.
        tasks: figures of the model for each task of each ability, at the headline window.
        kinds: outcomes of the events of each kind, at the headline window.
        conditions: recall by what surrounds an event.
    """

    split: str
    data_fingerprint: str
    calibrate_on: str | None
    n_streams: int
    n_offline: int
    threshold: float
    chosen: Choice | None
    timer: SilenceTimer
    systems: Mapping[float, Mapping[str, Metrics]]
    curve: Mapping[float, Metrics]
    points: tuple[OperatingPoint, ...]
    reliability: Reliability
    tasks: tuple[TaskScore, ...]
    kinds: tuple[KindScore, ...]
    conditions: tuple[Table, ...]
    stability: tuple[Length, ...]
    latency: Latency
    agreement: Agreement
    failures: tuple[str, ...]

    @property
    def headline_window_s(self) -> float:
        return next(iter(self.systems))

    @property
    def headline(self) -> Mapping[str, Metrics]:
        """The systems at the first window."""
        return self.systems[self.headline_window_s]

    def to_json(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "data_fingerprint": self.data_fingerprint,
            "calibrate_on": self.calibrate_on,
            "n_streams": self.n_streams,
            "n_offline": self.n_offline,
            "threshold": self.threshold,
            "chosen": vars(self.chosen) if self.chosen else None,
            "silence_timer": self.timer.settings(),
            "headline_window_s": self.headline_window_s,
            "recall_at_false_per_hour": [point.to_json() for point in self.points],
            "systems": {
                str(window): {name: _metrics(m) for name, m in by_name.items()}
                for window, by_name in self.systems.items()
            },
            "curve": curves.to_json(self.curve),
            "reliability": self.reliability.to_json(),
            "tasks": [
                {"ability": t.ability, "task": t.task, "n_streams": t.n_streams,
                 "metrics": _metrics(t.metrics)}
                for t in self.tasks
            ],
            "kinds": [asdict(kind) for kind in self.kinds],
            "conditions": {t.title: _rows(t.rows) for t in self.conditions},
            "stability": [length.to_json() for length in self.stability],
            "latency": self.latency.to_json(),
            "agreement": asdict(self.agreement),
            "failures": list(self.failures),
        }  # fmt: skip


def _metrics(metrics: Metrics) -> dict[str, Any]:
    return {name: figure.to_json() for name, figure in metrics.items()}


def _rows(rows: Sequence[Sequence[str | Figure]]) -> list[list[Any]]:
    return [[c.to_json() if isinstance(c, Figure) else c for c in row] for row in rows]
