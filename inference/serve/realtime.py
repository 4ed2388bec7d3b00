"""The OpenAI Realtime protocol, audio in and text out, for a model that always listens.

::

    input_audio_buffer.append ─▶ heard at once; decided on after every chunk
                                 ReplyStarted ─▶ input_audio_buffer.committed, the user's item,
                                                 response.created, the assistant's item
                                 ReplyText    ─▶ response.output_text.delta
                                 ReplyEnded   ─▶ ... .done, response.done

Every response is the server's own. The buffer of the protocol is book-keeping here: what was
appended was heard, and a commit only closes the item that stands for it in the conversation.
"""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from inference.engine import Engine
from inference.events import (
    ChunkDropped,
    EndReason,
    Overloaded,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    SessionEvent,
    SessionFailed,
)
from inference.serve.dialect import Action, Configure, Interrupt, Message, Push, Reaction
from inference.serve.encodings import AudioInput, Encoding
from inference.serve.faults import Fault
from inference.serve.realtime_messages import (
    Append,
    AtThreshold,
    AudioFormat,
    Cancel,
    Clear,
    Commit,
    PcmFormat,
    RealtimeSession,
    Retrieve,
    SessionUpdate,
    parse,
    to_json,
    updated,
)
from inference.session import SessionConfig

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
    input_tokens: int
    output_tokens: int = 0


class RealtimeDialect:
    """One conversation.

    Args:
        config: of its session, with instruction and threshold, until the client changes it.
        require_fits: raises `Fault` if a session cannot be opened with a configuration.
        model: the name by which the client asked for the model; it is told the same.
    """

    def __init__(
        self,
        engine: Engine,
        config: SessionConfig,
        require_fits: Callable[[SessionConfig], None],
        model: str = "soundflow",
    ) -> None:
        self._time = engine.spec.time
        self._default = config
        self._require_fits = require_fits
        name = secrets.token_hex(8)
        self._session = RealtimeSession(
            id=f"sess_{name}",
            model=model,
            instructions=config.system or "",
            max_output_tokens=min(config.sampling.max_reply_tokens, 4096),
        )
        self._name = name
        self._counts: dict[str, int] = {}
        self._audio = self._audio_of(self._session.audio.input.format)
        self._items: OrderedDict[str, Message] = OrderedDict()
        self._newest_item: str | None = None
        self._uncommitted_s = 0.0
        self._answered_chunks = 0
        self._response: _Response | None = None

    def opened(self) -> Sequence[Message]:
        return [self._event("session.created", session=to_json(self._session))]

    def received(self, message: str | bytes) -> Reaction:
        event = parse(message)
        try:
            match event:
                case Append():
                    return Reaction([self._append(event)])
                case SessionUpdate():
                    return self._update(event)
                case Commit():
                    return Reaction(messages=self._commit_asked())
                case Clear():
                    self._uncommitted_s = 0.0
                    return Reaction(messages=[self._event("input_audio_buffer.cleared")])
                case Cancel():
                    return Reaction([self._cancel(event)])
                case Retrieve():
                    return Reaction(messages=[self._retrieve(event)])
                case _:
                    assert_never(event)
        except Fault as fault:
            fault.event_id = event.event_id
            raise

    def told(self, event: SessionEvent, remembered_s: float) -> Sequence[Message]:
        match event:
            case ReplyStarted():
                return self._begin(event)
            case ReplyText():
                return self._delta(event)
            case ReplyEnded():
                return self._end(event)
            case ChunkDropped():
                return [self._trouble("overloaded", f"audio at {event.time_s:.1f} s was dropped")]
            case Overloaded():
                return [self._trouble("overloaded", f"decisions are {event.late_s:.1f} s late")]
            case SessionFailed():
                return [self._trouble("internal_error", "the session failed")]
            case _:
                return []  # the protocol has no words for it

    def fault(self, fault: Fault) -> Message:
        return self._event("error", error=fault.to_json())

    # Client events

    def _append(self, event: Append) -> Action:
        try:
            data = b64decode(event.audio, validate=True)
        except (binascii.Error, ValueError):
            raise Fault("invalid_audio", "audio is not base64", param="audio") from None
        samples, seconds = self._audio.decode(data)
        self._uncommitted_s += seconds
        return Push(samples, seconds)

    def _update(self, event: SessionUpdate) -> Reaction:
        before = self._session
        session = updated(before, event.session, event.event_id)
        changed = self._config_of(session) != self._config_of(before)
        if changed:
            self._require_fits(self._config_of(session))
        self._session = session
        if session.instructions != before.instructions:
            self._answered_chunks = 0  # a new memory, whose chunks count from 0
        actions: list[Action] = []
        if session.audio.input.format != before.audio.input.format:
            actions.append(Push(self._audio.finish(), 0.0))
            self._audio = self._audio_of(session.audio.input.format)
        if changed:
            actions.append(Configure(self._config_of(session)))
        return Reaction(actions, [self._event("session.updated", session=to_json(session))])

    def _commit_asked(self) -> Sequence[Message]:
        if not self._uncommitted_s:
            raise Fault("input_audio_buffer_commit_empty", "nothing was appended since the last")
        return self._commit()

    def _cancel(self, event: Cancel) -> Action:
        response = self._response
        if response is None or event.response_id not in (None, response.id):
            raise Fault("response_cancel_not_active", "no such response is in progress")
        return Interrupt()

    def _retrieve(self, event: Retrieve) -> Message:
        item = self._items.get(event.item_id)
        if item is None:
            raise Fault("item_not_found", "no such item; the newest are kept", param="item_id")
        return self._event("conversation.item.retrieved", item=item)

    # Events of the session

    def _commit(self) -> list[Message]:
        """The audio since the last commit becomes an item of the user."""
        self._uncommitted_s = 0.0
        content = [{"type": "input_audio", "transcript": None}]
        item = self._item("user", "completed", content)
        previous = self._add(item)
        place = {"previous_item_id": previous}
        return [
            self._event("input_audio_buffer.committed", item_id=item["id"], **place),
            self._event("conversation.item.added", item=item, **place),
            self._event("conversation.item.done", item=item, **place),
        ]

    def _begin(self, event: ReplyStarted) -> list[Message]:
        committed = self._commit() if self._uncommitted_s else []
        item = self._item("assistant", "in_progress", [])
        heard_chunks = event.chunk + 1 - self._answered_chunks
        self._answered_chunks = event.chunk + 1
        response = self._response = _Response(
            id=self._id("resp"),
            item_id=item["id"],
            previous_item_id=self._add(item),
            metadata={
                "emotion": event.emotion,
                "chunk": str(event.chunk),
                "time_s": f"{event.time_s:.3f}",
            },
            input_tokens=heard_chunks * self._time.slots_per_chunk,
        )
        place = {"response_id": response.id, "output_index": 0}
        previous = response.previous_item_id
        return [
            *committed,
            self._event("response.created", response=self._response_json(response, "in_progress")),
            self._event("response.output_item.added", item=item, **place),
            self._event("conversation.item.added", item=item, previous_item_id=previous),
            self._event(
                "response.content_part.added", item_id=item["id"], content_index=0,
                part={"type": "text", "text": ""}, **place,
            ),
        ]  # fmt: skip

    def _delta(self, event: ReplyText) -> list[Message]:
        response = self._current()
        response.output_tokens += 1
        if not event.text:
            return []
        return [self._event("response.output_text.delta", delta=event.text, **_place(response))]

    def _end(self, event: ReplyEnded) -> list[Message]:
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
        return [
            self._event("response.output_text.done", text=event.text, **_place(response)),
            self._event(
                "response.content_part.done", part={"type": "text", "text": event.text},
                **_place(response),
            ),
            self._event("conversation.item.done", item=item, previous_item_id=previous),
            self._event("response.output_item.done", item=item, **place),
            self._event("response.done", response=done),
        ]  # fmt: skip

    # Values

    def _trouble(self, code: str, message: str) -> Message:
        return self.fault(Fault(code, message, kind="server_error"))

    def _current(self) -> _Response:
        if self._response is None:
            raise RuntimeError("a reply went on that had not begun")
        return self._response

    def _config_of(self, session: RealtimeSession) -> SessionConfig:
        detection, limit = session.audio.input.turn_detection, session.max_output_tokens
        most = self._default.sampling.max_reply_tokens
        threshold = self._default.threshold
        return replace(
            self._default,
            system=session.instructions,
            threshold=detection.threshold if isinstance(detection, AtThreshold) else threshold,
            sampling=replace(
                self._default.sampling,
                max_reply_tokens=most if limit == "inf" else min(limit, most),
            ),
        )

    def _audio_of(self, audio: AudioFormat) -> AudioInput:
        encodings: dict[str, Encoding] = {"audio/pcmu": "mulaw", "audio/pcma": "alaw"}
        rate_hz = audio.rate if isinstance(audio, PcmFormat) else 0
        encoding = encodings.get(audio.type, "pcm16")
        return AudioInput(encoding, rate_hz, self._time.sample_rate_hz)

    def _response_json(self, response: _Response, status: str) -> Message:
        return {
            "id": response.id,
            "object": "realtime.response",
            "status": status,
            "status_details": None,
            "output": [],
            "output_modalities": ["text"],
            "conversation_id": f"conv_{self._name}",
            "max_output_tokens": self._session.max_output_tokens,
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

    def _event(self, type: str, **fields: Any) -> Message:
        return {"type": type, "event_id": self._id("event"), **fields}

    def _id(self, prefix: str) -> str:
        self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return f"{prefix}_{self._name}{self._counts[prefix]:06x}"


def _place(response: _Response) -> Message:
    return {
        "response_id": response.id,
        "item_id": response.item_id,
        "output_index": 0,
        "content_index": 0,
    }


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
