"""Items that are offline exchanges: heard to the end, then the question is answered."""

from __future__ import annotations

from collections.abc import Callable

from inference.engine import Engine
from inference.evaluate.outcome import Failure, Outcome, TimedReply
from inference.evaluate.task import Item
from inference.exchange import TooLongError, answer, prompt_of
from inference.sampling import SamplingConfig


def answer_offline(
    engine: Engine,
    item: Item[object],
    sampling: SamplingConfig,
    failure_of: Callable[[Exception], Failure],
) -> Outcome:
    """One reply, at the end of the audio. A failure is an outcome."""
    try:
        prompt = prompt_of(engine, item.question, item.open())
        said = answer(engine, prompt, sampling)
    except TooLongError as error:
        return Outcome(failure=Failure("too long", error.message))
    except Exception as error:
        return Outcome(failure=failure_of(error))
    return Outcome((TimedReply(item.n_samples, said.text),))
