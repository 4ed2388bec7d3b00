"""The OpenAI Realtime protocol, spoken by the official client to a real server process."""

from __future__ import annotations

import base64
from typing import Any, get_args

import pytest
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent

from tests.inference.serve.audio import noise
from tests.inference.serve.realtime_client import converse, say, speak_at, text_of, until
from tests.inference.serve.servers import Running

REPLY = [
    "response.created", "response.output_item.added", "conversation.item.added",
    "response.content_part.added", "response.output_text.delta", "response.output_text.done",
    "response.content_part.done", "conversation.item.done", "response.output_item.done",
    "response.done",
]  # fmt: skip


def test_a_reply_comes_unasked_with_all_its_events(running: Running) -> None:
    async def body(connection: AsyncRealtimeConnection) -> None:
        await connection.session.update(session=speak_at(0.0))
        updated = (await until(connection, "session.updated"))[-1]
        assert updated.session.audio.input.turn_detection.threshold == 0.0
        await say(connection, noise(0.9, 24_000))
        found = await until(connection, "response.done")
        kinds = [e.type for e in found]
        assert kinds[:3] == [
            "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done",
        ]  # fmt: skip
        assert list(dict.fromkeys(kinds[3:])) == REPLY
        done = found[-1].response
        text = "".join(e.delta for e in found if e.type == "response.output_text.delta")
        assert done.output[0].content[0].text == text
        assert done.status in ("completed", "incomplete")
        heard_chunks = int(done.metadata["chunk"]) + 1
        assert done.usage.input_token_details.audio_tokens == 10 * heard_chunks
        added = [e for e in found if e.type == "conversation.item.added"]
        assert added[1].previous_item_id == added[0].item.id
        await connection.conversation.item.retrieve(item_id=done.output[0].id)
        assert (await until(connection, "conversation.item.retrieved"))[-1].item.id

    converse(running, body)


@pytest.mark.parametrize(
    ("audio_format", "data"),
    [
        ({"type": "audio/pcm", "rate": 16_000}, noise(0.8)),
        ({"type": "audio/pcm", "rate": 24_000}, noise(0.9, 24_000)),
        ({"type": "audio/pcmu"}, bytes(range(256)) * 28),
        ({"type": "audio/pcma"}, bytes(range(256)) * 28),
    ],
)
def test_every_audio_format_is_heard(running: Running, audio_format: dict, data: bytes) -> None:
    async def body(connection: AsyncRealtimeConnection) -> None:
        await connection.session.update(session=speak_at(0.0, format=audio_format))
        found = (await until(connection, "session.updated"))[-1]
        assert found.session.audio.input.format.type == audio_format["type"]
        await say(connection, data)
        await until(connection, "response.done")

    converse(running, body)


def test_commit_clear_and_cancel(running: Running) -> None:
    async def body(connection: AsyncRealtimeConnection) -> None:
        await connection.input_audio_buffer.commit()
        error = (await until(connection, "error"))[-1].error
        assert error.code == "input_audio_buffer_commit_empty"
        await connection.session.update(session=speak_at(1.0))
        await say(connection, noise(0.2, 24_000))
        await connection.input_audio_buffer.commit()
        item = (await until(connection, "conversation.item.done"))[-1].item
        assert (item.role, item.content[0].type) == ("user", "input_audio")
        await connection.input_audio_buffer.clear()
        await until(connection, "input_audio_buffer.cleared")
        await connection.response.cancel(event_id="mine")
        error = (await until(connection, "error"))[-1].error
        assert (error.code, error.event_id) == ("response_cancel_not_active", "mine")

    converse(running, body)


def test_a_response_that_is_asked_for_answers_what_was_heard(running: Running) -> None:
    """Half a chunk is enough, and the model alone would not have spoken."""

    async def body(connection: AsyncRealtimeConnection) -> None:
        await connection.session.update(session=speak_at(1.0))
        await say(connection, noise(0.2, 24_000))
        await connection.input_audio_buffer.commit()
        await connection.response.create(response={"metadata": {"question": "7"}})
        await connection.response.create(event_id="again")
        found = await until(connection, "response.done")
        done = found[-1].response
        assert (done.metadata["question"], done.metadata["chunk"]) == ("7", "0")
        assert done.output[0].content[0].text
        (refused,) = [e.error for e in found if e.type == "error"]
        assert refused.code == "conversation_already_has_active_response"
        assert refused.event_id == "again"
        await say(connection, noise(0.5, 24_000))
        await connection.response.create()
        assert (await until(connection, "response.done"))[-1].response.id != done.id

    converse(running, body)


def test_push_to_talk(running: Running) -> None:
    """Without turn detection the model speaks when it is asked to, and never else."""

    async def body(connection: AsyncRealtimeConnection) -> None:
        session = speak_at(0.0)
        session["audio"]["input"]["turn_detection"] = None
        await connection.session.update(session=session)
        updated = (await until(connection, "session.updated"))[-1]
        assert updated.session.audio.input.turn_detection is None
        await say(connection, noise(1.3, 24_000))
        await connection.input_audio_buffer.commit()
        await connection.response.create(response={"metadata": {"question": "7"}})
        found = await until(connection, "response.done")
        (created,) = [e.response for e in found if e.type == "response.created"]
        assert created.metadata == {"question": "7"}
        done = found[-1].response
        assert (done.id, done.metadata["question"]) == (created.id, "7")
        assert done.usage.input_token_details.audio_tokens == 40
        by_itself = {"type": "semantic_vad", "create_response": False}
        session["audio"]["input"]["turn_detection"] = by_itself
        await connection.session.update(session=session)
        await until(connection, "session.updated")
        await say(connection, noise(0.5, 24_000))
        await connection.response.create()
        await connection.response.cancel()
        kinds = [e.type for e in await until(connection, "response.done")]
        assert kinds.count("response.created") == 1

    converse(running, body)


def test_a_response_is_cancelled_before_it_begins(running: Running) -> None:
    """By its id, which is there as soon as it was asked for."""

    async def body(connection: AsyncRealtimeConnection) -> None:
        await connection.session.update(session=speak_at(1.0))
        await say(connection, noise(0.2, 24_000))
        await connection.response.create(response={"metadata": {"question": "7"}})
        created = (await until(connection, "response.created"))[-1].response
        await connection.response.cancel(response_id=created.id)
        found = await until(connection, "response.done")
        assert (found[-1].response.id, found[-1].response.status) == (created.id, "cancelled")
        assert found[-1].response.metadata["question"] == "7"
        await connection.response.create()
        assert (await until(connection, "response.done"))[-1].response.id != created.id

    converse(running, body)


def test_a_recording_is_an_item(running: Running) -> None:
    def message(*parts: dict[str, str], **fields: str) -> dict[str, object]:
        return {"type": "message", "role": "user", "content": list(parts), **fields}

    def audio(seconds: float) -> dict[str, str]:
        data = base64.b64encode(noise(seconds, 24_000)).decode()
        return {"type": "input_audio", "audio": data}

    async def body(connection: AsyncRealtimeConnection) -> None:
        await connection.session.update(session=speak_at(1.0))
        item = message(audio(0.5), audio(0.4) | {"transcript": "two"}, id="mine")
        await connection.conversation.item.create(item=item)
        added, done = (await until(connection, "conversation.item.done"))[-2:]
        assert added.item == done.item
        assert (done.item.id, done.item.content[1].transcript) == ("mine", "two")
        await connection.conversation.item.create(item=item)
        assert (await until(connection, "error"))[-1].error.code == "item_already_exists"
        await connection.response.create()
        response = (await until(connection, "response.done"))[-1].response
        assert response.usage.input_token_details.audio_tokens == 30

    converse(running, body)


def test_instructions_change_in_mid_session_and_what_was_heard_stays(running: Running) -> None:
    async def body(connection: AsyncRealtimeConnection) -> None:
        await connection.session.update(session=speak_at(1.0))
        await say(connection, noise(0.5, 24_000))
        new = {"type": "realtime", "instructions": "Say what you hear."}
        await connection.session.update(session=new)
        await until(connection, "session.updated")
        updated = (await until(connection, "session.updated"))[-1]
        assert updated.session.instructions == "Say what you hear."
        await say(connection, noise(0.5, 24_000))
        await connection.response.create()
        done = (await until(connection, "response.done"))[-1].response
        assert done.metadata["chunk"] == "2", "1 s of audio, before and after"
        assert done.usage.input_token_details.audio_tokens == 30

    converse(running, body)


def test_a_response_has_instructions_of_its_own_outside_the_conversation(running: Running) -> None:
    """It is answered as in a session that began with them, and leaves nothing behind."""
    brief = {"instructions": "Be brief.", "conversation": "none", "metadata": {"topic": "side"}}

    async def asked(connection: AsyncRealtimeConnection, **response: Any) -> list[Any]:
        await connection.response.create(response=response)
        return await until(connection, "response.done")

    async def began_with_them(connection: AsyncRealtimeConnection) -> None:
        session = speak_at(1.0) | {"instructions": "Be brief."}
        await connection.session.update(session=session)
        await say(connection, noise(0.5, 24_000))
        texts.append(text_of(await asked(connection)))

    async def aside(connection: AsyncRealtimeConnection) -> None:
        await connection.session.update(session=speak_at(1.0))
        await say(connection, noise(0.5, 24_000))
        found = await asked(connection, **brief)
        done = found[-1].response
        assert text_of(found) == texts[0]
        assert (done.conversation_id, done.metadata["topic"]) == (None, "side")
        added = [e.item.role for e in found if e.type == "conversation.item.added"]
        assert added == ["user"]
        await connection.conversation.item.retrieve(item_id=done.output[0].id)
        assert (await until(connection, "error"))[-1].error.code == "item_not_found"
        short = (await asked(connection, max_output_tokens=1))[-1].response
        assert (short.max_output_tokens, short.usage.output_tokens) == (1, 1)
        assert (await asked(connection))[-1].response.usage.output_tokens > 1

    texts: list[str] = []
    converse(running, began_with_them)
    converse(running, aside)


def test_every_event_that_we_send_is_one_of_the_protocol() -> None:
    union = get_args(get_args(RealtimeServerEvent)[0])
    known = {get_args(one.model_fields["type"].annotation)[0] for one in union}
    assert {*REPLY, "session.created", "session.updated", "error"} <= known
