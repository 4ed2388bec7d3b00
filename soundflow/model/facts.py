"""Facts about a training run, stored with its weights."""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Any

from pydantic import NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from soundflow.config.load import build
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.protocol import layout
from soundflow.protocol.spec import StreamSpec

CALIBRATION_FILE = "calibration.json"  # beside the weights; written by `soundflow evaluate`
_REMEDY = "restore the file, or copy the checkpoint again"


@dataclass(frozen=True, config=SETTINGS)
class TrainingFacts:
    """Facts of training that a session needs, and where the weights come from.

    Attributes:
        trained_positions: the longest row that training saw; a session's memory stays within it.
        system: the instruction prefix that most training streams had.
        updates: of the optimiser; 0 where the weights were not trained here.
        metrics: the last held-out figures.
        decides: whether it was trained to decide when to speak; Qwen2.5-Omni as published was not.
    """

    trained_positions: PositiveInt
    system: str = ""
    updates: NonNegativeInt = 0
    metrics: dict[str, float] = field(default_factory=dict)
    decides: bool = True

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Any, spec: StreamSpec, where: str) -> TrainingFacts:
        """Reads facts back.

        Args:
            where: the file and the key in it, for messages.

        Raises:
            UserError: if a field is missing, unknown, of another type or impossible.
        """
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected a mapping, got {type(data).__name__}", _REMEDY)
        facts = build(TrainingFacts, data, where, _REMEDY)
        prefix = layout.online_prefix(spec.tokens, ())
        block = layout.listen(spec.tokens, spec.time.slots_per_chunk)
        least = len(prefix) + len(block) + len(layout.silence(spec.tokens))
        if facts.trained_positions < least:
            raise UserError(
                f"{where}.trained_positions: {facts.trained_positions}, a prefix and one chunk "
                f"take {least}",
                _REMEDY,
            )
        return facts
