"""What the settings of every benchmark have in common."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic.dataclasses
from annotated_types import Interval
from pydantic import PositiveInt

from soundflow.config.settings import SETTINGS

# How speech is heard: in a stream, or as a finished recording.
Mode = Literal["streaming", "offline"]
Pause = Annotated[float, Interval(gt=0, le=30)]


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class BenchmarkConfig:
    """A public data set.

    Attributes:
        data: where it is: a folder as published, or what the benchmark itself says.
        pause_s: silence after every recording, in which it can be answered.
        max_items: measure the first so many.
    """

    data: str
    pause_s: Pause = 3.0
    max_items: PositiveInt | None = None
