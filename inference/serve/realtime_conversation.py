"""The conversation of the OpenAI Realtime protocol: its items and responses, and their events.

::

    uncommitted audio ─ commit ─▶ item of the user
    ReplyStarted      ─ begin ──▶ response.created, item of the assistant
    ReplyText         ─ delta ──▶ response.output_text.delta
    ReplyEnded        ─ end ────▶ ... .done, response.done
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
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
    """A response in progress."""

    id: str
    item_id: str
    previous_item_id: str | None
    metadata: dict[str, str]
    max_output_tokens: int | str
    input_tokens: int
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
        self._response: _Response | None = None

    @property
    def session_id(self) -> str:
        return f"sess_{self._name}"

    @property
    def response_id(self) -> str | None:
        """Of the response in progress."""
        return None if self._response is None else self._response.id

    def event(self, type: str, **fields: Any) -> Message:
        return {"type": type, "event_id": self._id("event"), **fields}

    def item(self, item_id: str) -> Message | None:
        """One of the newest items."""
        return self._items.get(item_id)

    def commit(self) -> list[Message]:
        """The audio since the last commit becomes an item of the user."""
        content = [{"type": "input_audio", "transcript": None}]
        item = self._item("user", "completed", content)
        place = {"previous_item_id": self._add(item)}
        return [
            self.event("input_audio_buffer.committed", item_id=item["id"], **place),
            self.event("conversation.item.added", item=item, **place),
            self.event("conversation.item.done", item=item, **place),
        ]

    def begin(
        self, event: ReplyStarted, max_output_tokens: int | str, metadata: Mapping[str, str]
    ) -> list[Message]:
        """Args:
        max_output_tokens: of the session.
        metadata: what the client gave with its request; ours are added.
        """
        item = self._item("assistant", "in_progress", [])
        heard_chunks = event.chunk + 1 - self._answered_chunks
        self._answered_chunks = event.chunk + 1
        response = self._response = _Response(
            id=self._id("resp"),
            item_id=item["id"],
            previous_item_id=self._add(item),
            metadata={
                **metadata,
                "emotion": event.emotion,
                "chunk": str(event.chunk),
                "time_s": f"{event.time_s:.3f}",
            },
            max_output_tokens=max_output_tokens,
            input_tokens=heard_chunks * self._slots_per_chunk,
        )
        place = {"response_id": response.id, "output_index": 0}
        previous = response.previous_item_id
        return [
            self.event("response.created", response=self._response_json(response, "in_progress")),
            self.event("response.output_item.added", item=item, **place),
            self.event("conversation.item.added", item=item, previous_item_id=previous),
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
        previous = response.previous_item_id
        part = {"type": "text", "text": event.text}
        return [
            self.event("response.output_text.done", text=event.text, **response.place),
            self.event("response.content_part.done", part=part, **response.place),
            self.event("conversation.item.done", item=item, previous_item_id=previous),
            self.event("response.output_item.done", item=item, **place),
            self.event("response.done", response=done),
        ]

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
            "conversation_id": f"conv_{self._name}",
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
