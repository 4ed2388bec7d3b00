"""The OpenAI Realtime protocol, audio in and text out, for a model that always listens.

::

    input_audio_buffer.append ─▶ heard at once; decided on after every chunk
    conversation.item.create  ─▶ a recording of the user's, heard like what is appended
    response.create           ─▶ what was heard so far is answered, whatever the model would decide
    session.update            ─▶ from now on; what was heard stays

A response is the server's own, unless one was asked for. The buffer of the protocol is book-keeping
here: what was appended was heard, and a commit only closes the item that stands for it in the
conversation.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import assert_never

from inference.engine import Engine
from inference.events import (
    ChunkDropped,
    Overloaded,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    ReplyWithdrawn,
    SessionEvent,
)
from inference.serve.dialect import Action, Configure, Interrupt, Message, Push, Reaction
from inference.serve.encodings import AudioInput, Encoding
from inference.serve.faults import Fault
from inference.serve.realtime_conversation import Conversation
from inference.serve.realtime_messages import (
    Append,
    AtThreshold,
    AudioFormat,
    Cancel,
    Clear,
    Commit,
    ItemCreate,
    PcmFormat,
    RealtimeSession,
    ResponseCreate,
    ResponseSettings,
    Retrieve,
    SessionUpdate,
    parse,
    to_json,
    updated,
)
from inference.sessions.config import Respond, SessionConfig


class RealtimeDialect:
    """One client.

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
        self._conversation = Conversation(self._time.slots_per_chunk)
        self._session = RealtimeSession(
            id=self._conversation.session_id,
            model=model,
            instructions=config.system or "",
            max_output_tokens=min(config.sampling.max_reply_tokens, 4096),
        )
        self._audio = self._audio_of(self._session.audio.input.format)
        self._uncommitted_s = 0.0

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
                case ItemCreate():
                    return self._add_item(event)
                case ResponseCreate():
                    return self._create(event)
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
                return self._conversation.delta(event)
            case ReplyEnded():
                return self._conversation.end(event)
            case ReplyWithdrawn():
                return self._conversation.withdraw()
            case ChunkDropped():
                return [self._trouble("overloaded", f"audio at {event.time_s:.1f} s was dropped")]
            case Overloaded():
                return [self._trouble("overloaded", f"decisions are {event.late_s:.1f} s late")]
            case _:
                return []  # the protocol has no words for it, or the connection ends with it

    def fault(self, fault: Fault) -> Message:
        return self._event("error", error=fault.to_json())

    def _append(self, event: Append) -> Action:
        pushed = self._push(event.audio, "audio")
        self._uncommitted_s += pushed.seconds
        return pushed

    def _push(self, audio: str, param: str) -> Push:
        try:
            data = b64decode(audio, validate=True)
        except (binascii.Error, ValueError):
            raise Fault("invalid_audio", f"{param} is not base64", param=param) from None
        samples, seconds = self._audio.decode(data, param)
        return Push(samples, seconds)

    def _add_item(self, event: ItemCreate) -> Reaction:
        item = event.item
        if item.id is not None and self._conversation.item(item.id) is not None:
            raise Fault("item_already_exists", "there is an item of this id", param="item.id")
        committed = self._commit() if self._uncommitted_s else []
        pushed = [
            self._push(part.audio, f"item.content.{at}.audio")
            for at, part in enumerate(item.content)
        ]
        added = self._conversation.add_audio(item.id, [part.transcript for part in item.content])
        return Reaction(pushed, [*committed, *added])

    def _update(self, event: SessionUpdate) -> Reaction:
        before = self._session
        session = updated(before, event.session, event.event_id)
        changed = self._config_of(session) != self._config_of(before)
        if changed:
            self._require_fits(self._config_of(session))
        self._session = session
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

    def _create(self, event: ResponseCreate) -> Reaction:
        if self._conversation.responses:
            raise Fault(
                "conversation_already_has_active_response", "a response is in progress already"
            )
        asked = event.response or ResponseSettings()
        session = self._session
        if asked.instructions is not None:
            session = replace(session, instructions=asked.instructions)
        if asked.max_output_tokens is not None:
            session = replace(session, max_output_tokens=asked.max_output_tokens)
        config, remembered = self._config_of(session), asked.conversation == "auto"
        self._require_fits(config)
        committed = self._commit() if self._uncommitted_s else []
        created = self._conversation.create(
            session.max_output_tokens, asked.metadata or {}, kept=remembered
        )
        return Reaction([Respond(config, remembered)], [*committed, created])

    def _cancel(self, event: Cancel) -> Action:
        current = self._conversation.responses
        if not current or event.response_id not in (None, *current):
            raise Fault("response_cancel_not_active", "no such response is in progress")
        return Interrupt()

    def _retrieve(self, event: Retrieve) -> Message:
        item = self._conversation.item(event.item_id)
        if item is None:
            raise Fault("item_not_found", "no such item; the newest are kept", param="item_id")
        return self._event("conversation.item.retrieved", item=item)

    def _commit(self) -> list[Message]:
        self._uncommitted_s = 0.0
        return self._conversation.commit()

    def _begin(self, event: ReplyStarted) -> list[Message]:
        committed = self._commit() if self._uncommitted_s else []
        limit = self._session.max_output_tokens
        return [*committed, *self._conversation.begin(event, limit)]

    def _event(self, type: str, **fields: object) -> Message:
        return self._conversation.event(type, **fields)

    def _trouble(self, code: str, message: str) -> Message:
        return self.fault(Fault(code, message, kind="server_error"))

    def _config_of(self, session: RealtimeSession) -> SessionConfig:
        detection, limit = session.audio.input.turn_detection, session.max_output_tokens
        most = self._default.sampling.max_reply_tokens
        threshold = detection.threshold if isinstance(detection, AtThreshold) else None
        proactive = self._default.proactive
        return replace(
            self._default,
            system=session.instructions,
            threshold=self._default.threshold if threshold is None else threshold,
            proactive=proactive and detection is not None and detection.create_response,
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
