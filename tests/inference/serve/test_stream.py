"""Our own protocol, over loopback to a real server process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import wave
from pathlib import Path

import httpx
import pytest

from tests.inference.serve.audio import noise, packets
from tests.inference.serve.servers import ROOT, Running, events_until, open_stream


async def heard(running: Running, audio: bytes, size: int, **configure: object) -> list[dict]:
    client = await open_stream(running)
    if configure:
        await client.send(json.dumps({"command": "configure", **configure}))
        assert (await events_until(client, "session_configured"))[-1]
    for packet in packets(audio, size):
        await client.send(packet)
    await client.send('{"command": "finish"}')
    found = await events_until(client, "session_ended")
    await client.wait_closed()
    assert client.close_code == 1000
    return found


def plain(events: list[dict]) -> list[dict]:
    """Without what differs between runs: the machine's clock, and rounding between batches."""
    clocks = ("wall_s", "arrived_wall_s", "p_response", "remembered_s", "late_chunks")
    return [{k: v for k, v in e.items() if k not in clocks} for e in events]


def test_every_chunk_is_decided_on_whatever_the_packets(running: Running) -> None:
    audio = noise(3.0)
    whole = asyncio.run(heard(running, audio, len(audio), threshold=0.0))
    decided = [e for e in whole if e["event"] == "decided"]
    assert [e["chunk"] for e in decided] == list(range(8))
    assert any(e["event"] == "reply_ended" for e in whole)
    assert all(e["remembered_s"] > 0 for e in decided)
    assert whole[-1]["n_samples"] == 48_000


def test_a_threshold_of_one_never_speaks(running: Running) -> None:
    found = asyncio.run(heard(running, noise(1.2), 998, threshold=1.0))
    assert not any(e["event"].startswith("reply") for e in found)
    assert [e["speak"] for e in found if e["event"] == "decided"] == [False] * 3


def test_audio_at_another_rate_lasts_as_long(running: Running) -> None:
    found = asyncio.run(
        heard(running, noise(2.0, 48_000), 4800, sample_rate_hz=48_000, threshold=1.0)
    )
    assert found[-1]["n_samples"] == 32_000
    telephone = asyncio.run(heard(running, bytes(16_000), 800, encoding="mulaw", threshold=1.0))
    assert telephone[-1]["n_samples"] == 32_000


def test_an_interrupt_ends_the_reply(running: Running) -> None:
    async def run() -> None:
        client = await open_stream(running)
        await client.send('{"command": "configure", "threshold": 0.0}')
        await client.send(noise(0.5))
        await events_until(client, "reply_started")
        await client.send('{"command": "interrupt"}')
        ended = (await events_until(client, "reply_ended"))[-1]
        assert ended["reason"] in ("stopped", "limit", "end")  # it may have been quicker
        await client.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "invalid_json"),
        ("[1]", "invalid_value"),
        ('{"command": "dance"}', "invalid_value"),
        ('{"command": "configure", "threshold": 2}', "invalid_value"),
        ('{"command": "configure", "volume": 2}', "invalid_value"),
        (json.dumps({"command": "configure", "system": "word " * 9000}), "invalid_value"),
        (b"\x00\x01\x02", "invalid_audio"),
    ],
)
def test_a_mistake_is_named_and_the_session_goes_on(
    running: Running, message: str | bytes, code: str
) -> None:
    async def run() -> None:
        client = await open_stream(running)
        await client.send(message)
        assert (await events_until(client, "error"))[-1]["code"] == code
        await client.send(noise(0.5))
        await events_until(client, "decided")
        await client.close()

    asyncio.run(run())


def test_another_threshold_or_instruction_keeps_what_was_heard(running: Running) -> None:
    async def run() -> None:
        client = await open_stream(running)
        chunks = []
        for threshold in (1.0, 0.9):
            await client.send(json.dumps({"command": "configure", "threshold": threshold}))
            await client.send(noise(0.5))
            chunks.append((await events_until(client, "decided"))[-1]["chunk"])
        assert chunks == [0, 1]
        await client.send('{"command": "configure", "system": "Be brief.", "threshold": 1.0}')
        assert (await events_until(client, "session_configured"))[-1]["system"] == "Be brief."
        await client.send(noise(0.5))
        decided = (await events_until(client, "decided"))[-1]
        assert (decided["chunk"], round(decided["remembered_s"], 1)) == (2, 1.2)
        await client.send('{"command": "respond"}')
        found = await events_until(client, "reply_ended")
        assert [e["speak"] for e in found if e["event"] == "decided"] == [True]
        await client.close()

    asyncio.run(run())


def test_the_example_is_a_client(running: Running, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setparams((1, 2, 24_000, 0, "NONE", ""))
        out.writeframes(noise(1.0, 24_000))
    done = subprocess.run(
        [sys.executable, ROOT / "examples/stream_client.py", tmp_path / "a.wav",
         f"{running.ws}/v1/stream"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.count(" s  p = ") == 3


def test_health_metrics_and_page(running: Running) -> None:
    asyncio.run(heard(running, noise(1.2), 3200, threshold=0.0))
    with httpx.Client(base_url=running.url) as client:
        assert client.get("/healthz").json() == {"status": "ok", "engines": 1}
        metrics = client.get("/metrics").text
        counted = {
            name: float(value)
            for name, value in (
                line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#"
            )
        }
        assert counted['soundflow_chunks_total{decision="speak"}'] >= 1
        assert counted["soundflow_tokens_total"] >= 1
        assert counted["soundflow_decision_seconds_count"] >= 3
        assert counted["soundflow_waiting_chunks"] == 0
        page = client.get("/")
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert client.get("/page.js").headers["content-type"].startswith("text/javascript")
        assert client.get("/../recipe.py").status_code == 404
