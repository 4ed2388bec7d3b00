"""The recipe of `soundflow evaluate`: one YAML file, loaded strictly."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated

from annotated_types import Interval, MinLen
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from inference.evaluate.curve import logit_grid
from inference.sampling import SamplingConfig
from soundflow.config.settings import SETTINGS, SplitName

Threshold = Annotated[float, Interval(gt=0, lt=1)]


@dataclass(frozen=True, config=SETTINGS)
class ReportConfig:
    """What the HTML report shows in addition to the tables.

    Attributes:
        streams: how many held-out streams are drawn with audio and decisions.
        training_metrics: the ``metrics.jsonl`` of the run, for the curves; None takes the one
            beside the checkpoint folder, where there is one.
        data_summary: the ``summary.json`` of the build; None takes the one of ``data``.
    """

    streams: NonNegativeInt = 6
    training_metrics: Path | None = None
    data_summary: Path | None = None


@dataclass(frozen=True, config=SETTINGS)
class EvaluateRecipe:
    """An evaluation of held-out streams with the live engine, against the baselines.

    Attributes:
        checkpoint: a checkpoint folder. The calibrated threshold is written into it, or into
            ``output`` where it is read-only.
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
    split: SplitName = "test"
    calibrate_on: SplitName | None = "valid"
    windows_s: Annotated[tuple[PositiveFloat, ...], MinLen(1)] = (2.0, 1.0, 5.0)
    thresholds: Annotated[tuple[Threshold, ...], MinLen(1)] = field(default_factory=logit_grid)
    max_streams: PositiveInt | None = None
    streams_at_once: PositiveInt = 32
    latency_streams: PositiveInt = 4
    sampling: SamplingConfig = field(
        default_factory=lambda: SamplingConfig(temperature=0.0, max_reply_tokens=32)
    )
    report: ReportConfig = field(default_factory=ReportConfig)

    def __post_init__(self) -> None:
        if self.calibrate_on == self.split:
            raise ValueError(
                f"calibrate_on={self.split}: a threshold chosen on the streams that are measured "
                "makes the model look better than it is"
            )
