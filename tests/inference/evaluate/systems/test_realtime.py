"""Endpoints of the Realtime protocol as systems: our own server, and servers that fail."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from inference.decoder.sampling import SamplingConfig
from inference.evaluate.audio_items import audio_item
from inference.evaluate.benchmarks.librispeech import LibriSpeechConfig
from inference.evaluate.outcome import Failure, Outcome
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.run import evaluate
from inference.evaluate.store import OutcomeStore, Part
from inference.evaluate.suite import BenchmarksConfig
from inference.evaluate.systems.answers import answers
from inference.evaluate.systems.model import Model
from inference.evaluate.systems.realtime import RealtimeConfig, RealtimeSystem
from inference.evaluate.task import Exchange, Item
from inference.evaluate.timing.config import TimingConfig
from inference.sessions.config import SessionConfig
from soundflow.config.load import build
from soundflow.errors import UserError
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import save_checkpoint
from tests.inference.engines import make_engine
from tests.inference.evaluate.benchmarks.published_data import flac, saved
from tests.inference.serve.servers import serving

ENGINE = make_engine()
TIME = ENGINE.spec.time
GREEDY = SamplingConfig(temperature=0.0, max_reply_tokens=6)
# Ours takes audio faster than it is spoken; what it says does not depend on that.
FAST = RealtimeConfig("ws://127.0.0.1:1", "soundflow", pace=8.0, settle_s=2.0, timeout_s=20.0)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Our own server in this process, which replies to the first chunk of everything."""
    with serving(engine=ENGINE, session=SessionConfig(None, 0.0, None, GREEDY)) as running:
        yield f"{running.ws}/v1/realtime"


@pytest.fixture(scope="module")
def items() -> list[Item[None]]:
    return [
        audio_item(f"n{k}", partial(flac, 0.9 + 0.3 * k, k), None, pause_s=0.4, system="Say it.")
        for k in range(3)
    ]


def test_our_own_server_says_what_the_model_says(url: str, items: list[Item[None]]) -> None:
    system = RealtimeSystem("ours", replace(FAST, url=url), TIME)
    system.require_reachable()
    found = dict(system.run(items))
    expected = dict(Model(ENGINE, 0.0, GREEDY).run(items))
    assert found.keys() == expected.keys()
    for name, outcome in found.items():
        assert outcome.failure is None
        first, due = outcome.replies[0], expected[name].replies[0]
        assert first.text == due.text, "the first chunk is decided on by nothing but itself"
        assert first.text == "".join(piece.text for piece in first.pieces)
        # Not before its chunk had been sent, up to what the network took.
        trip = TIME.samples(FAST.pace * (outcome.round_trip_s or 0.0))
        assert first.at_samples + trip >= due.at_samples
    assert "audio sent 8 times as fast" in system.clock(list(found.values()))


def test_an_offline_question_is_asked_for_and_gets_one_reply(
    url: str, items: list[Item[None]]
) -> None:
    spoken = replace(items[0], exchange=Exchange("What is it?"))
    written = replace(items[1], exchange=Exchange("Who are you?", has_audio=False))
    system = RealtimeSystem("ours", replace(FAST, url=url), TIME)
    found = dict(system.run([spoken, written]))
    for outcome in found.values():
        assert outcome.failure is None
        (reply,) = outcome.replies  # by itself it would have spoken after every chunk
        assert reply.text
    assert found[spoken.id].replies[0].at_samples >= spoken.n_samples, "after the whole question"


def test_what_is_sent_of_an_offline_question(items: list[Item[None]]) -> None:
    sent: list[str] = []

    async def note(socket: ServerConnection, message: str) -> None:
        sent.append(message["type"])
        if message["type"] == "session.update":
            session = message["session"]
            assert session["instructions"] == "Say it.\n\nWhat is it?"
            assert session["audio"]["input"]["turn_detection"] is None
        if message["type"] == "response.create":
            await say(socket, *REPLY, {"type": "response.done", "response": {"id": "r"}})

    item = replace(items[0], exchange=Exchange("What is it?"))
    session = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}
    with endpoint(note) as url:
        config = replace(FAST, url=url, session=session, settle_s=0.1)
        ((_, outcome),) = RealtimeSystem("theirs", config, TIME).run([item])
    assert outcome.text == "Yes"
    assert list(dict.fromkeys(sent)) == [
        "session.update", APPEND, "input_audio_buffer.commit", "response.create",
    ]  # fmt: skip


def test_a_failed_item_is_asked_once_more_when_the_evaluation_runs_again(
    items: list[Item[None]], tmp_path: Path
) -> None:
    asked: list[str] = []
    kinds = {"n0": "dropped connection", "n1": "unreadable audio", "n2": None}

    class Flaky:
        name = "flaky"

        def run(self, items: list[Item[None]]) -> Iterator[tuple[str, Outcome]]:
            for item in items:
                asked.append(item.id)
                kind = kinds[item.id]
                yield item.id, Outcome(failure=Failure(kind, "gone") if kind else None)

    def run() -> list[Outcome] | None:
        asked.clear()
        return answers(Flaky(), items, OutcomeStore(tmp_path), Part(), asked_again=1)

    run()
    assert asked == ["n0", "n1", "n2"]
    kinds["n0"] = None
    found = run()
    assert asked == ["n0"], "the file will not get better by asking"
    assert [o.failure is None for o in found] == [True, False, True]
    run()
    assert asked == []
    fewer, more = (replace(FAST, url="ws://h/v1", asked_again=n, at_once=n + 1) for n in (1, 2))
    assert fewer.decisive() == more.decisive(), "or all of it would be asked anew"


def test_a_recipe_asks_endpoints_beside_the_model(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facts = TrainingFacts(400, ENGINE.system)
    save_checkpoint(tmp_path / "model", ENGINE.model, ENGINE.tokenizer, ENGINE.spec, facts)
    rows = [{"id": "a", "text": "two words", "seconds": 0.8}]
    saved(tmp_path / "speech", "test", rows)
    speech = LibriSpeechConfig(
        data=str(tmp_path / "speech"),
        splits=("test-clean",),
        instructions={"streaming": "Write it."},
        pause_s=0.4,
    )
    recipe = EvaluateRecipe(
        checkpoint=tmp_path / "model", output=tmp_path / "out", threshold=0.0, sampling=GREEDY,
        benchmarks=BenchmarksConfig(librispeech=speech), systems={"ours": replace(FAST, url=url)},
    )  # fmt: skip
    with caplog.at_level(logging.INFO):
        results = evaluate(recipe)
    assert "ours is sent 1 items in real time, 4 at once: 0.0 minutes" in caplog.text
    (task,) = results.tasks
    assert list(task.systems) == ["model", "ours", "never", "always"]
    assert task.systems["ours"].figures["wer"].value > 0
    assert task.systems["never"].figures["wer"].value == 1.0
    assert "times run from audio sent to the first delta" in results.notes[0]
    unreachable = replace(recipe, systems={"gone": replace(FAST, url="ws://127.0.0.1:9/v1")})
    with pytest.raises(UserError, match=r"systems\.gone: .* cannot be used"):
        evaluate(unreachable)
    # What is there is not asked again: the server could be gone by now.
    stored = list((tmp_path / "out" / "outcomes").glob("*.ours-*/*.jsonl"))
    before = stored[0].read_bytes()
    evaluate(recipe)
    assert stored[0].read_bytes() == before


Script = Callable[[ServerConnection, dict], Awaitable[None]]
APPEND = "input_audio_buffer.append"
REPLY = [
    {"type": "response.created", "response": {"id": "r"}},
    {"type": "response.output_text.delta", "response_id": "r", "delta": "Yes"},
]


@contextmanager
def endpoint(script: Script) -> Iterator[str]:
    """A server that opens sessions as it should and then follows ``script``."""

    async def handle(socket: ServerConnection) -> None:
        await socket.send('{"type": "session.created"}')
        async for message in socket:
            event = json.loads(message)
            await script(socket, event)
            if event["type"] == "session.update":
                await socket.send('{"type": "session.updated"}')

    loop, ready, stop, port = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []

    async def run() -> None:
        async with serve(handle, "127.0.0.1", 0) as server:
            port.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield f"ws://127.0.0.1:{port[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def say(socket: ServerConnection, *events: dict) -> None:
    for event in events:
        await socket.send(json.dumps(event))


async def drop(socket: ServerConnection, event: dict) -> None:
    if event["type"] == APPEND:
        await say(socket, *REPLY)
        await asyncio.sleep(0.05)
        socket.transport.abort()


async def complain(socket: ServerConnection, event: dict) -> None:
    if event["type"] == APPEND:
        error = {"code": "rate_limit_exceeded", "message": "too much"}
        await say(socket, *REPLY, {"type": "error", "error": error})


async def never_end(socket: ServerConnection, event: dict) -> None:
    if event["type"] == APPEND:
        await say(socket, *REPLY)


async def fail_to_answer(socket: ServerConnection, event: dict) -> None:
    if event["type"] == APPEND:
        failed = {"id": "r", "status": "failed", "status_details": {"error": {"message": "no GPU"}}}
        await say(socket, *REPLY, {"type": "response.done", "response": failed})


async def babble(socket: ServerConnection, event: dict) -> None:
    if event["type"] == APPEND:
        await say(socket, *REPLY, {"type": "response.done"})


@pytest.mark.parametrize(
    ("script", "kind", "detail"),
    [
        (drop, "dropped connection", ""),
        (complain, "error event", "rate_limit_exceeded: too much"),
        (fail_to_answer, "error event", "no GPU"),
        (babble, "error event", "response.done is not as in the protocol"),
        (never_end, "time-out", "a reply did not end within 0.3 s of the audio"),
    ],
)
def test_each_failure_is_one_named_outcome(
    script: Script, kind: str, detail: str, items: list[Item[None]]
) -> None:
    with endpoint(script) as url:
        config = replace(FAST, url=url, timeout_s=0.3, settle_s=0.1)
        found = dict(RealtimeSystem("theirs", config, TIME).run(items[:1]))
    (outcome,) = found.values()
    assert outcome.failure is not None
    assert outcome.failure.kind == kind
    assert detail in outcome.failure.detail
    assert outcome.replies[0].text.startswith("Yes"), "what came before counts"


def test_each_time_out_says_what_did_not_happen(items: list[Item[None]]) -> None:
    async def listen(socket: ServerConnection, event: dict) -> None:
        pass

    async def keep_waiting(socket: ServerConnection, event: dict) -> None:
        await asyncio.sleep(1.0)  # before the session is updated

    question = replace(items[0], exchange=Exchange("What is it?", has_audio=False))
    for script, detail in (
        (listen, "no reply began within 0.3 s of being asked for"),
        (keep_waiting, "no session was opened within 0.3 s"),
    ):
        with endpoint(script) as url:
            config = replace(FAST, url=url, timeout_s=0.3)
            ((_, outcome),) = RealtimeSystem("theirs", config, TIME).run([question])
        assert outcome.failure == Failure("time-out", detail)


def test_unreadable_audio_and_a_missing_key_are_named(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = RealtimeSystem("ours", replace(FAST, url=url), TIME)
    bad = audio_item("bad", lambda: b"no audio", None, pause_s=0.4)
    ((_, outcome),) = system.run([bad])
    assert outcome.failure is not None
    assert outcome.failure.kind == "unreadable audio"
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    keyed = RealtimeSystem("ours", replace(FAST, url=url, api_key_env="NO_SUCH_KEY"), TIME)
    with pytest.raises(UserError, match="NO_SUCH_KEY is not set"):
        keyed.require_reachable()


def test_all_of_the_audio_is_sent_and_in_time() -> None:
    heard: list[str] = []

    async def count(socket: ServerConnection, event: dict) -> None:
        heard.append(event["type"])

    item = audio_item("a", partial(flac, 1.0), None, pause_s=0.5)
    with endpoint(count) as url:
        config = replace(FAST, url=url, settle_s=0.1, packet_s=0.25)
        system = RealtimeSystem("theirs", config, TIME)
        ((_, outcome),) = system.run([item])
    assert outcome.failure is None
    assert heard == ["session.update"] + 6 * [APPEND]  # 0.25 s each
    assert system.takes_s([item]) == pytest.approx(1.5 / 8 + 0.1)
    assert np.isfinite(outcome.round_trip_s)


def test_conversations_end_when_nobody_waits_for_them(items: list[Item[None]]) -> None:
    heard: list[str] = []

    async def count(socket: ServerConnection, event: dict) -> None:
        heard.append(event["type"])

    long = audio_item("long", partial(flac, 1.0), None, pause_s=40.0)
    with endpoint(count) as url:
        config = replace(FAST, url=url, settle_s=0.1)
        found = RealtimeSystem("theirs", config, TIME).run([items[0], long])
        assert next(found)[0] == items[0].id
        found.close()
    assert len(heard) < 0.5 * 41 / config.packet_s


def test_an_address_with_a_password_is_refused_without_repeating_it(tmp_path: Path) -> None:
    tree = {
        "checkpoint": str(tmp_path), "output": str(tmp_path / "out"), "timing": {"data": "d"},
        "systems": {"x": {"url": "wss://me:secret@host/v1", "model": "m"}},
    }  # fmt: skip
    with pytest.raises(UserError, match="api_key_env") as caught:
        build(EvaluateRecipe, tree, "recipe")
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("url", ["http://host/v1", "ws:///v1", "ws://host:0", "ws://host:65536"])
def test_an_address_that_cannot_be_called_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"url must be|Port out of range"):
        RealtimeConfig(url, "m")


def test_the_names_of_baselines_are_taken(tmp_path: Path) -> None:
    for name in ("never", "oracle-2"):
        with pytest.raises(ValueError, match=f"'{name}' cannot name a system"):
            EvaluateRecipe(tmp_path, tmp_path, TimingConfig(tmp_path), systems={name: FAST})
