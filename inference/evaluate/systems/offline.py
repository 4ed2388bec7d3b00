"""Items that are offline exchanges: heard to the end, then answered."""

from __future__ import annotations

import time

from inference.engine import Engine
from inference.evaluate.outcome import Outcome, TimedReply
from inference.evaluate.task import Exchange, Item
from inference.exchange import answer, prompt_of
from inference.limits import TimedOutError
from inference.sampling import SamplingConfig


def answer_offline(
    engine: Engine,
    item: Item[object],
    exchange: Exchange,
    sampling: SamplingConfig,
    timeout_s: float,
) -> Outcome:
    """One reply, at the end of the audio.

    Raises:
        UserError: if the audio cannot be read or is too long.
        TimedOutError: if the answer takes longer.
    """
    deadline_s = time.monotonic() + timeout_s

    def check(text: str) -> None:
        if time.monotonic() > deadline_s:
            raise TimedOutError(timeout_s)

    recording = item.open() if exchange.has_audio else None
    prompt = prompt_of(engine, exchange.question, recording, item.system)
    said = answer(engine, prompt, sampling, check)
    return Outcome((TimedReply(item.n_samples, said.text),))
