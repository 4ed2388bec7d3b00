"""What an evaluation is asked for. One YAML file, loaded strictly."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from inference.evaluate.curve import logit_grid
from inference.sampling import SamplingConfig


@dataclass(frozen=True)
class ReportConfig:
    """What the HTML report shows beside the figures.

    Attributes:
        streams: how many held-out streams are drawn with audio and decisions.
        training_metrics: the ``metrics.jsonl`` of the run, for the curves.
        data_summary: the ``summary.json`` of the build.
    """

    streams: int = 6
    training_metrics: Path | None = None
    data_summary: Path | None = None


@dataclass(frozen=True)
class EvaluateRecipe:
    """Held-out streams through the live engine, beside systems without a model.

    Attributes:
        checkpoint: a checkpoint folder. Its calibration is written into it.
        data: a data folder; ``split`` is measured, ``calibrate_on`` chooses the threshold (and
            the silence timer's settings); None keeps the checkpoint's own.
        windows_s: how late a reply may come; the first is the headline.
        thresholds: of the curve.
        streams_at_once: how many streams are decoded side by side.
        latency_streams: how many are also fed to a single session, to time it.
    """

    checkpoint: Path
    data: Path
    output: Path
    split: str = "test"
    calibrate_on: str | None = "valid"
    windows_s: tuple[float, ...] = (2.0, 1.0, 5.0)
    thresholds: tuple[float, ...] = field(default_factory=logit_grid)
    max_streams: int | None = None
    streams_at_once: int = 32
    latency_streams: int = 4
    sampling: SamplingConfig = field(
        default_factory=lambda: SamplingConfig(temperature=0.0, max_reply_tokens=32)
    )
    report: ReportConfig = field(default_factory=ReportConfig)

    def __post_init__(self) -> None:
        if not self.windows_s or min(self.windows_s) <= 0:
            raise ValueError(f"windows_s must be positive and not empty, got {self.windows_s}")
        if not self.thresholds or not all(0.0 < t < 1.0 for t in self.thresholds):
            raise ValueError(f"thresholds must lie within (0, 1), got {self.thresholds}")
        for name in ("streams_at_once", "latency_streams"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
