"""The conversation of the OpenAI Realtime protocol: its items and responses, and their events.

::

    uncommitted audio ─ commit ─▶ item of the user
    response.create   ─ create ─▶ response.created
    ReplyStarted      ─ begin ──▶ response.created (if nobody asked for it), item of the assistant
    ReplyText         ─ delta ──▶ response.output_text.delta
    ReplyEnded        ─ end ────▶ ... .done, response.done
    ReplyWithdrawn    ─ withdraw ▶ response.done
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.events import EndReason, ReplyEnded, ReplyStarted, ReplyText
from inference.serve.dialect import Message

KEPT_ITEMS = 256  # that conversation.item.retrieve finds

# status of the response, its reason, status of the item
_STATUS: dict[EndReason, tuple[str, str | None, str]] = {
    "end": ("completed", None, "completed"),
    "limit": ("incomplete", "max_output_tokens", "incomplete"),
    "repetition": ("incomplete", "max_output_tokens", "incomplete"),
    "stopped": ("cancelled", "client_cancelled", "incomplete"),
}


@dataclass
class _Response:
    """A response in progress. It has an item and input once it speaks; ``kept``: whether that item
    belongs to the conversation.
    """

    id: str
    metadata: dict[str, str]
    max_output_tokens: int | str
    kept: bool = True
    item_id: str = ""
    previous_item_id: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def place(self) -> Message:
        return {
            "response_id": self.id,
            "item_id": self.item_id,
            "output_index": 0,
            "content_index": 0,
        }


class Conversation:
    """One conversation.

    Args:
        slots_per_chunk: what a chunk counts as in the usage.
    """

    def __init__(self, slots_per_chunk: int) -> None:
        self._slots_per_chunk = slots_per_chunk
        self._name = secrets.token_hex(8)
        self._counts: dict[str, int] = {}
        self._items: OrderedDict[str, Message] = OrderedDict()
        self._newest_item: str | None = None
        self._answered_chunks = 0
        self._response: _Response | None = None  # that speaks
        self._asked: _Response | None = None  # that has not begun

    @property
    def session_id(self) -> str:
        return f"sess_{self._name}"

    @property
    def responses(self) -> list[str]:
        """The ids of the responses in progress: of the one that speaks, of the one asked for."""
        return [r.id for r in (self._response, self._asked) if r is not None]

    def event(self, type: str, **fields: Any) -> Message:
        return {"type": type, "event_id": self._id("event"), **fields}

    def item(self, item_id: str) -> Message | None:
        """One of the newest items."""
        return self._items.get(item_id)

    def commit(self) -> list[Message]:
        """The audio since the last commit becomes an item of the user."""
        added, done = self.add_audio(None, [None])
        place = {"item_id": added["item"]["id"], "previous_item_id": added["previous_item_id"]}
        return [self.event("input_audio_buffer.committed", **place), added, done]

    def add_audio(self, item_id: str | None, transcripts: Sequence[str | None]) -> list[Message]:
        """An item of the user that holds audio, a part for each of ``transcripts``."""
        content = [{"type": "input_audio", "transcript": one} for one in transcripts]
        item = self._item("user", "completed", content, item_id)
        place = {"previous_item_id": self._add(item)}
        return [
            self.event("conversation.item.added", item=item, **place),
            self.event("conversation.item.done", item=item, **place),
        ]

    def create(
        self, max_output_tokens: int | str, metadata: Mapping[str, str], *, kept: bool
    ) -> Message:
        """A response that the client asks for.

        Args:
            metadata: what the client gave with its request; ours are added when it speaks.
            kept: whether the conversation holds it.
        """
        response = self._asked = _Response(
            self._id("resp"), dict(metadata), max_output_tokens, kept
        )
        return self._created(response)

    def begin(self, event: ReplyStarted, max_output_tokens: int | str) -> list[Message]:
        """The response that was asked for, or one of the model's own, begins to speak."""
        if event.asked and self._asked is not None:
            response, self._asked = self._asked, None
        else:
            response = _Response(self._id("resp"), {}, max_output_tokens)
        item = self._item("assistant", "in_progress", [])
        response.item_id = item["id"]
        heard_chunks = event.chunk + 1 - self._answered_chunks
        if response.kept:
            response.previous_item_id = self._add(item)
            self._answered_chunks = event.chunk + 1
        response.input_tokens = heard_chunks * self._slots_per_chunk
        response.metadata |= {
            "emotion": event.emotion,
            "chunk": str(event.chunk),
            "time_s": f"{event.time_s:.3f}",
        }
        self._response = response
        place = {"response_id": response.id, "output_index": 0}
        created = [] if event.asked else [self._created(response)]
        return [
            *created,
            self.event("response.output_item.added", item=item, **place),
            *self._of_conversation("conversation.item.added", response, item),
            self.event(
                "response.content_part.added", item_id=item["id"], content_index=0,
                part={"type": "text", "text": ""}, **place,
            ),
        ]  # fmt: skip

    def delta(self, event: ReplyText) -> list[Message]:
        response = self._current()
        response.output_tokens += 1
        if not event.text:
            return []
        return [self.event("response.output_text.delta", delta=event.text, **response.place)]

    def end(self, event: ReplyEnded) -> list[Message]:
        response = self._current()
        self._response = None
        status, reason, item_status = _STATUS[event.reason]
        item = self._item(
            "assistant", item_status, [{"type": "output_text", "text": event.text}],
            response.item_id,
        )  # fmt: skip
        if response.kept:
            self._items[item["id"]] = item
        details: Message = {"type": status}
        if reason is not None:
            details["reason"] = reason
        done = self._response_json(response, status) | {
            "output": [item],
            "status_details": details,
            "usage": _usage(response),
        }
        place = {"response_id": response.id, "output_index": 0}
        part = {"type": "text", "text": event.text}
        return [
            self.event("response.output_text.done", text=event.text, **response.place),
            self.event("response.content_part.done", part=part, **response.place),
            *self._of_conversation("conversation.item.done", response, item),
            self.event("response.output_item.done", item=item, **place),
            self.event("response.done", response=done),
        ]

    def withdraw(self) -> list[Message]:
        """The response that was asked for is cancelled before it speaks."""
        response, self._asked = self._asked, None
        if response is None:
            return []
        details = {"type": "cancelled", "reason": "client_cancelled"}
        done = self._response_json(response, "cancelled") | {"status_details": details}
        return [self.event("response.done", response=done | {"usage": _usage(response)})]

    def _of_conversation(self, type: str, response: _Response, item: Message) -> list[Message]:
        """An event about the item of a response, if the conversation holds it."""
        if not response.kept:
            return []
        return [self.event(type, item=item, previous_item_id=response.previous_item_id)]

    def _created(self, response: _Response) -> Message:
        return self.event("response.created", response=self._response_json(response, "in_progress"))

    def _current(self) -> _Response:
        if self._response is None:
            raise RuntimeError("a reply went on that had not begun")
        return self._response

    def _response_json(self, response: _Response, status: str) -> Message:
        return {
            "id": response.id,
            "object": "realtime.response",
            "status": status,
            "status_details": None,
            "output": [],
            "output_modalities": ["text"],
            "conversation_id": f"conv_{self._name}" if response.kept else None,
            "max_output_tokens": response.max_output_tokens,
            "metadata": response.metadata,
            "usage": None,
        }

    def _item(
        self, role: str, status: str, content: list[Message], id: str | None = None
    ) -> Message:
        return {
            "id": id or self._id("item"),
            "object": "realtime.item",
            "type": "message",
            "role": role,
            "status": status,
            "content": content,
        }

    def _add(self, item: Message) -> str | None:
        """Appends an item to the conversation and returns the id of the one before it."""
        self._items[item["id"]] = item
        if len(self._items) > KEPT_ITEMS:
            self._items.popitem(last=False)
        previous, self._newest_item = self._newest_item, item["id"]
        return previous

    def _id(self, prefix: str) -> str:
        self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return f"{prefix}_{self._name}{self._counts[prefix]:06x}"


def _usage(response: _Response) -> Message:
    """Input is the encoder outputs heard since the response before."""
    return {
        "total_tokens": response.input_tokens + response.output_tokens,
        "input_tokens": response.input_tokens,
        "output_tokens": response.output_tokens,
        "input_token_details": {
            "audio_tokens": response.input_tokens, "text_tokens": 0, "cached_tokens": 0,
        },
        "output_token_details": {"text_tokens": response.output_tokens, "audio_tokens": 0},
    }  # fmt: skip
