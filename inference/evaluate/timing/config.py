"""Settings of the timing half of an evaluation."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from annotated_types import Interval, MinLen
from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from inference.evaluate.timing.curve import logit_grid
from soundflow.config.settings import SETTINGS, SplitName
from soundflow.shards.address import DataFolder

Threshold = Annotated[float, Interval(gt=0, lt=1)]
Segments = Annotated[int, Interval(ge=1, le=100)]


@dataclass(frozen=True, config=SETTINGS)
class RecallAt:
    """The best recall with at most so many false triggers an hour of silence-only audio."""

    false_per_hour: PositiveFloat


@dataclass(frozen=True, config=SETTINGS)
class StabilityConfig:
    """How the figures hold up when streams get longer.

    Attributes:
        segments: streams are joined by so many.
        hours: length of further streams, each of which joins as many as it takes; None for none.
    """

    segments: Annotated[tuple[Segments, ...], MinLen(1)] = (1, 2, 3, 4, 5)
    hours: Annotated[float, Interval(gt=0, le=24)] | None = None


@dataclass(frozen=True, config=SETTINGS)
class TimingConfig:
    """Held-out streams of built data.

    Attributes:
        data: the output of a build; ``split`` is measured, ``calibrate_on`` chooses the threshold
            (and the silence timer's settings); None keeps the checkpoint's own.
        calibrate: what the threshold is chosen for.
        negatives: another build with splits of the same names, all silence-only, so that a claim
            about false triggers an hour has the hours that it needs.
        windows_s: how late a reply may come; the first is the headline.
        thresholds: of the curve.
        max_streams: measure a choice of the streams.
        latency_streams: how many are also fed to a single session, to time it.
    """

    data: DataFolder
    split: SplitName = "test"
    calibrate_on: SplitName | None = "valid"
    calibrate: Literal["f1"] | RecallAt = "f1"
    negatives: DataFolder | None = None
    windows_s: Annotated[tuple[PositiveFloat, ...], MinLen(1)] = (2.0, 1.0, 5.0)
    thresholds: Annotated[tuple[Threshold, ...], MinLen(1)] = field(default_factory=logit_grid)
    max_streams: PositiveInt | None = None
    latency_streams: PositiveInt = 4
    stability: StabilityConfig | None = None

    def __post_init__(self) -> None:
        if self.calibrate != "f1" and self.calibrate_on is None:
            raise ValueError("calibrate: a budget needs a split to choose on; name calibrate_on")
        if self.calibrate_on == self.split:
            raise ValueError(
                f"calibrate_on={self.split}: a threshold chosen on the streams that are measured "
                "makes the model look better than it is"
            )
