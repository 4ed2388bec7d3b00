"""What clients of the OpenAI Realtime protocol send: libraries when they connect, and mistakes."""

from __future__ import annotations

from typing import Any

import pytest
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from tests.inference.serve.audio import noise
from tests.inference.serve.realtime_client import converse, say, text_of, until
from tests.inference.serve.servers import Running

PCM = {"type": "audio/pcm", "rate": 24_000}
WAITING = {"prefix_padding_ms": 300, "silence_duration_ms": 500}
# What the client libraries send when they connect, for replies of text.
CLIENT_LIBRARIES: dict[str, list[dict[str, Any]]] = {
    "openai-python": [
        {"model": "gpt-realtime", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
    ],
    "openai-agents": [
        {
            "model": "gpt-realtime",
            "instructions": "Be brief.",
            "output_modalities": ["text"],
            "audio": {
                "input": {
                    "format": PCM,
                    "transcription": {"model": "gpt-4o-mini-transcribe"},
                    "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
                },
                "output": {"format": PCM, "voice": "ash"},
            },
            "tools": [],
        },
        {"tracing": "auto"},
    ],
    "livekit": [
        {
            "model": "gpt-realtime",
            "output_modalities": ["text"],
            "audio": {
                "input": {
                    "format": PCM,
                    "noise_reduction": None,
                    "transcription": {"model": "gpt-4o-mini-transcribe"},
                    "turn_detection": {
                        "type": "semantic_vad", "create_response": True, "eagerness": "medium",
                        "interrupt_response": True,
                    },
                },
                "output": {"format": PCM, "speed": 1.0, "voice": "marin"},
            },
            "max_output_tokens": "inf",
            "tool_choice": "auto",
        },
        {"instructions": "Be brief."},
        {"tools": []},
    ],
    "pipecat": [
        {
            "output_modalities": ["text"],
            "instructions": "Be brief.",
            "audio": {
                "input": {
                    "noise_reduction": {"type": "near_field"},
                    "transcription": {"model": "gpt-4o-transcribe"},
                    "turn_detection": {"type": "server_vad", "threshold": 0.5, **WAITING},
                }
            },
        }
    ],
}  # fmt: skip


@pytest.mark.parametrize("library", CLIENT_LIBRARIES)
def test_what_client_libraries_send_first_is_taken(running: Running, library: str) -> None:
    """What has no effect is not in the session that they are shown."""

    async def body(connection: AsyncRealtimeConnection) -> None:
        for session in CLIENT_LIBRARIES[library]:
            await connection.session.update(session={"type": "realtime", **session})
            updated = (await until(connection, "session.updated"))[-1].session
            heard = updated.audio.input
            assert (heard.transcription, heard.noise_reduction, updated.audio.output) == (None,) * 3
            assert heard.turn_detection.interrupt_response is False
        if library != "openai-python":
            assert updated.instructions == "Be brief."
        await connection.response.cancel()
        assert (await until(connection, "error"))[-1].error.code == "response_cancel_not_active"
        await say(connection, noise(0.5, 24_000))
        await connection.response.create(response={"output_modalities": ["text"]})
        assert text_of(await until(connection, "response.done"))

    converse(running, body)


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "conversation.item.delete", "item_id": "x"}, "unsupported_event", "type"),
        (
            {"type": "conversation.item.create", "item": {"type": "message", "role": "user",
                "content": [{"type": "input_text", "text": "Who are you?"}]}},
            "invalid_value",
            "item.content.0.type",
        ),
        (
            {"type": "conversation.item.create", "item": {"type": "message", "role": "user",
                "content": [{"type": "input_audio", "audio": "AAAA"}]}},
            "invalid_audio",
            "item.content.0.audio",
        ),
        ({"type": "response.cancel", "response_id": "x"}, "response_cancel_not_active", None),
        (
            {"type": "response.create", "response": {"input": []}},
            "unknown_parameter",
            "response.input",
        ),
        (
            {"type": "response.create", "response": {"instructions": "word " * 9000}},
            "invalid_value",
            "instructions",
        ),
        ({"type": "dance"}, "invalid_value", "type"),
        ({"event_id": "e"}, "missing_required_parameter", "type"),
        ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_audio", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "invalid_audio", "audio"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        (
            {"type": "session.update", "session": {"output_modalities": ["audio"]}},
            "invalid_value",
            "session.output_modalities.0",
        ),
        (
            {"type": "session.update", "session": {"temperature": 1}},
            "unknown_parameter",
            "session.temperature",
        ),
        (
            {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {
                "type": "server_vad", "threshold": 1.5}}}}},
            "invalid_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"type": "session.update", "session": {"tools": [{"type": "function", "name": "x"}]}},
            "invalid_value",
            "session.tools",
        ),
        (
            {"type": "session.update", "session": {"instructions": "word " * 9000}},
            "invalid_value",
            "instructions",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_an_error_event(running: Running, event: dict, code: str, param: str) -> None:
    async def body(connection: AsyncRealtimeConnection) -> None:
        await connection.send({"event_id": "mine", **event})
        error = (await until(connection, "error"))[-1].error
        assert (error.code, error.param) == (code, param), error.message
        assert error.type == "invalid_request_error"
        assert error.event_id == event.get("event_id", "mine")

    converse(running, body)
