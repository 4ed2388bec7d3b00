"""The results of an evaluation, as typed values with a JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inference.evaluate import curve as curves
from inference.evaluate.breakdown import KindScore, TaskScore
from inference.evaluate.curve import Calibration
from inference.evaluate.metrics import Metrics
from inference.evaluate.systems import SilenceTimer
from inference.latency import Latency

MODEL = "model"
TIMER = "silence timer"
RESULTS_FILE = "results.json"
REPORT_FILE = "report.html"
RECIPE_FILE = "evaluate.yaml"


@dataclass(frozen=True)
class Results:
    """Everything that was measured.

    Attributes:
        n_streams: online streams that were decoded.
        n_offline: samples of the split that are no streams (offline exchanges); not measured here.
        calibration_path: where the threshold was stored; None where none was chosen.
        stored_beside_report: whether that is the output, because the checkpoint is read-only.
        systems: window in seconds -> system -> figures.
        curve: threshold -> figures at the headline window.
        tasks: figures of the model for each task of each ability, at the headline window.
        kinds: outcomes of the events of each kind, at the headline window.
        sessions_agree: of the streams that were also fed to a live session, how many gave the
            same decisions and replies.
    """

    split: str
    n_streams: int
    n_offline: int
    calibration: Calibration
    calibration_path: str | None
    stored_beside_report: bool
    timer: SilenceTimer
    systems: Mapping[float, Mapping[str, Metrics]]
    curve: Mapping[float, Metrics]
    tasks: tuple[TaskScore, ...]
    kinds: tuple[KindScore, ...]
    latency: Latency
    sessions: int
    sessions_agree: int
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
            "n_streams": self.n_streams,
            "n_offline": self.n_offline,
            "calibration": vars(self.calibration),
            "calibration_path": self.calibration_path,
            "silence_timer": vars(self.timer),
            "headline_window_s": self.headline_window_s,
            "recall_at_false_per_hour": {
                str(limit): curves.recall_at(self.curve, limit)
                for limit in curves.HEADLINE_FALSE_PER_HOUR
            },
            "systems": {
                str(window): {name: _metrics(m) for name, m in by_name.items()}
                for window, by_name in self.systems.items()
            },
            "curve": curves.to_json(self.curve),
            "tasks": [
                {"ability": t.ability, "task": t.task, "n_streams": t.n_streams,
                 "metrics": _metrics(t.metrics)}
                for t in self.tasks
            ],
            "kinds": [asdict(kind) for kind in self.kinds],
            "latency": self.latency.to_json(),
            "sessions": self.sessions,
            "sessions_agree": self.sessions_agree,
            "failures": list(self.failures),
        }  # fmt: skip


def _metrics(metrics: Metrics) -> dict[str, Any]:
    return {name: estimate.to_json() for name, estimate in metrics.items()}
