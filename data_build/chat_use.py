"""Which decisions of a build a chat model makes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pydantic.dataclasses

from soundflow.config.settings import SETTINGS
from soundflow.endpoints.chat import ChatClient, ChatConfig

# The rules make all other decisions.
Decision = Literal["rewrite", "plan", "refine", "verify", "probe", "silence", "paraphrase"]
# A model adds to the wording only where a recipe says so: it costs a hundred requests.
_USUAL: tuple[Decision, ...] = ("rewrite", "plan", "refine", "verify", "probe", "silence")


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class ChatUse:
    """A chat model and the decisions that it makes.

    Attributes:
        decisions: rewrite (text fit to be spoken), plan, refine and verify (scenes), probe (late
            questions), silence (which sounds deserve a reply), and, only where it is named,
            paraphrase (further wordings of instructions, questions and replies).
    """

    chat: ChatConfig = field(default_factory=ChatConfig)
    decisions: tuple[Decision, ...] = _USUAL


@dataclass(frozen=True)
class Deciders:
    """Who makes each decision of a build; by default the rules make all."""

    client: ChatClient | None = None
    decisions: tuple[Decision, ...] = ()

    @staticmethod
    def of(use: ChatUse | None, cache: Path) -> Deciders:
        """Those of a recipe, a model's answers kept under ``cache`` unless it says where."""
        if use is None:
            return Deciders()
        chat = use.chat if use.chat.cache_dir else replace(use.chat, cache_dir=str(cache))
        return Deciders(ChatClient(chat), use.decisions)

    def model(self, decision: Decision) -> ChatClient | None:
        """The model that makes ``decision``; None: the rules do."""
        return self.client if decision in self.decisions else None
