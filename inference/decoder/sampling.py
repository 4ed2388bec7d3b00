"""How the text of replies is chosen: settings; `inference.passes.sampler` draws by them."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Interval
from pydantic import NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass

from soundflow.config.settings import SETTINGS, PositiveSeconds, Seed

Share = Annotated[float, Interval(gt=0, le=1)]
Repeats = Annotated[int, Interval(ge=2)]


@dataclass(frozen=True, config=SETTINGS)
class SamplingConfig:
    """How text is chosen, and when a reply has to end. The choice is the published one.

    Attributes:
        temperature: 0 is greedy.
        top_k: how many of the most probable tokens are drawn from.
        top_p: of these, the fewest that reach this share of their probability.
        max_reply_tokens: text tokens of a reply.
        max_reply_s: seconds on the session's clock; None for no limit.
        max_repeats: a reply ends when its last words have come so many times in a row; None never
            ends it.
    """

    temperature: NonNegativeFloat = 0.3
    top_k: PositiveInt = 3
    max_reply_tokens: PositiveInt = 256
    seed: Seed = 0
    top_p: Share = 1.0
    max_reply_s: PositiveSeconds | None = None
    max_repeats: Repeats | None = 8
