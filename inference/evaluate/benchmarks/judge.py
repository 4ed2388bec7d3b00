"""A chat model that judges replies, behind any OpenAI-compatible endpoint.

Its answers are kept on disk by model, prompt version and text, so scoring again sends nothing. A
judge that cannot be reached, or gives no usable verdict, is the reason in the row of that item;
after it is gone no further request is sent.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic.dataclasses
from annotated_types import Interval
from pydantic import PositiveInt

from soundflow.config.settings import SETTINGS
from soundflow.endpoints.chat import ChatClient, ChatConfig
from soundflow.endpoints.http_calls import CallFailure, Endpoint
from soundflow.endpoints.prompts import Prompt, read_prompt
from soundflow.errors import UserError

PROMPTS = Path(__file__).parent / "prompts"


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class JudgeConfig:
    """Which model judges.

    Attributes:
        cache: a folder for its answers; any number of evaluations may share it.
    """

    endpoint: Endpoint
    model: str
    cache: Path = Path("runs/evaluate/judge")
    temperature: Annotated[float, Interval(ge=0, le=2)] = 0.0
    max_tokens: PositiveInt = 256


@dataclass(frozen=True)
class NoVerdict:
    """Why there is none."""

    reason: str


class Judge:
    """Asks for verdicts; for use from any thread."""

    def __init__(self, config: JudgeConfig) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._client: ChatClient | None = None
        self._gone: NoVerdict | None = None

    def ask(
        self, prompt: Prompt, variables: Mapping[str, Any], schema: Mapping[str, Any]
    ) -> dict[str, Any] | NoVerdict:
        """The verdict as a dict that fits ``schema``, or why there is none."""
        if self._gone is not None:
            return self._gone
        try:
            return self._opened().ask_json(prompt, variables, schema)
        except CallFailure as failure:
            return NoVerdict(f"judge: {failure}")
        except UserError as error:  # it is gone, or refuses every call
            self._gone = NoVerdict(f"judge: {error.message}")
            return self._gone

    def signature(self, prompt: Prompt) -> str:
        return (
            f"judge:{self.config.model}|temperature:{self.config.temperature:g}|"
            f"prompt:{prompt.name}.v{prompt.version}.{prompt.sha256[:8]}"
        )

    def _opened(self) -> ChatClient:
        with self._lock:
            if self._client is None:
                c = self.config
                self._client = ChatClient(
                    ChatConfig(
                        c.endpoint, c.model, c.temperature, c.max_tokens, cache_dir=str(c.cache)
                    )
                )
            return self._client


def judge_prompt(name: str, version: int = 1) -> Prompt:
    return read_prompt(PROMPTS / f"{name}.v{version}.md")
