"""Items that are offline exchanges: heard to the end, then answered, several side by side."""

from __future__ import annotations

from collections.abc import Sequence

from inference.engine import Engine
from inference.evaluate.task import Item
from inference.exchange import Answer, answers, prompt_of
from inference.sampling import SamplingConfig
from soundflow.errors import UserError


def answer_together(
    engine: Engine, items: Sequence[Item[object]], sampling: SamplingConfig, timeout_s: float
) -> dict[str, Answer | UserError]:
    """The answers by item; for one that cannot be read, is too long or fails, why."""
    found: dict[str, Answer | UserError] = {}
    asked, prompts = [], []
    for item in items:
        if item.exchange is None:
            raise ValueError(f"{item.id}: asks nothing")
        try:
            recording = item.open() if item.exchange.has_audio else None
            prompt = prompt_of(engine, item.exchange.question, recording, item.system)
        except UserError as error:
            found[item.id] = error
            continue
        asked.append(item.id)
        prompts.append(prompt)
    said = answers(engine, prompts, sampling, timeout_s=timeout_s)
    return found | dict(zip(asked, said, strict=True))
