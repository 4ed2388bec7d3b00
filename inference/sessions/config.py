"""What may differ between sessions of one engine, and for one reply of a session."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from annotated_types import Interval
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from inference.decoder.sampling import SamplingConfig
from soundflow.config.settings import SETTINGS, Fraction


@dataclass(frozen=True, config=SETTINGS)
class SessionConfig:
    """None takes the engine's own.

    Attributes:
        system: instruction prefix; training's by default.
        threshold: p(response) from which the model speaks.
        limit_positions: bound of the memory, at most as in training.
        past_turns: share of the memory that the newest replies, each with the chunk that it
            answers, may take once what was heard around them is forgotten.
        proactive: whether the model speaks by its own decision; otherwise only when it is asked to
            (`respond`). Its decisions are computed all the same.
    """

    system: str | None = None
    threshold: Fraction | None = None
    limit_positions: PositiveInt | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    past_turns: Annotated[float, Interval(ge=0, le=0.5)] = 0.0
    proactive: bool = True


@dataclass(frozen=True, config=SETTINGS)
class Respond:
    """A reply that the caller asks for.

    Attributes:
        config: its instruction and sampling hold for this reply alone; None takes the session's.
        remembered: whether the memory keeps it. Otherwise what follows never saw it.
    """

    config: SessionConfig | None = None
    remembered: bool = True
