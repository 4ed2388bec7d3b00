"""A real server process with a model of the smallest size, and clients of its protocols."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from soundflow.model.weights import TrainingFacts, save_checkpoint
from tests.inference.engines import make_engine

ROOT = Path(__file__).resolve().parents[3]
RATE_HZ = 16_000
START_S = 120


@dataclass
class Running:
    process: subprocess.Popen[str]
    url: str

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def write_checkpoint(folder: Path) -> Path:
    """Untrained, so that decisions are arbitrary; it speaks now and then."""
    engine = make_engine()
    facts = TrainingFacts(engine.limit_positions, system=engine.system)
    save_checkpoint(folder, engine.model, engine.tokenizer, engine.spec, facts)
    return folder


@contextmanager
def server(checkpoint: Path, *words: str, token: str | None = None) -> Iterator[Running]:
    """``soundflow serve CHECKPOINT port=0 WORDS`` in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "SOUNDFLOW_TOKEN"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    if token is not None:
        environment["SOUNDFLOW_TOKEN"] = token
    process = subprocess.Popen(
        [sys.executable, "-m", "soundflow.cli", "serve", str(checkpoint), "port=0",
         "precision=fp32", "session.sampling={temperature: 0.0, max_reply_tokens: 8}", *words],
        cwd=checkpoint.parent, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"https?://\S+:\d+", line)
        assert found, f"the server did not start: {line!r}"
        yield Running(process, found[0])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def noise(seconds: float, rate_hz: int = RATE_HZ, seed: int = 0) -> bytes:
    """PCM16 whose level changes every 0.1 s."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate_hz)
    loud = np.repeat(rng.uniform(0.001, 0.3, n * 10 // rate_hz + 1), rate_hz // 10)[:n]
    samples = np.clip(rng.standard_normal(n) * loud, -1, 1)
    return (samples * 32767).astype("<i2").tobytes()


def packets(audio: bytes, size: int = 3200) -> list[bytes]:
    return [audio[at : at + size] for at in range(0, len(audio), size)]


async def open_stream(running: Running, **options: object) -> ClientConnection:
    """A client of our protocol that has read ``session_opened``."""
    client = await connect(f"{running.ws}/v1/stream", **options)  # type: ignore[arg-type]
    assert json.loads(await client.recv())["event"] == "session_opened"
    return client


async def events_until(client: ClientConnection, name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    async for message in client:
        found.append(json.loads(message))
        if found[-1]["event"] == name:
            return found
    raise AssertionError(f"closed before {name}: {found[-3:]}")
