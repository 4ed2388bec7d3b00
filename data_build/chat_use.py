"""Which decisions of a build a chat model makes."""

from __future__ import annotations

from dataclasses import field, replace
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


def chat_client(use: ChatUse | None, cache: Path) -> ChatClient | None:
    """The client of a recipe, its answers kept under ``cache`` unless the recipe says where."""
    if use is None:
        return None
    return ChatClient(use.chat if use.chat.cache_dir else replace(use.chat, cache_dir=str(cache)))


def asked_for(
    decision: Decision, use: ChatUse | None, client: ChatClient | None
) -> ChatClient | None:
    """The client if the model makes ``decision``, else None."""
    return client if use is not None and decision in use.decisions else None
