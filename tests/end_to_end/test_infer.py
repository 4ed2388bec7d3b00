"""`soundflow infer` as a process: pipes, signals, records that a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from inference.infer.session_record import EVENTS, read_session
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import save_checkpoint
from tests.inference.engines import make_engine

SOUNDFLOW = (sys.executable, "-m", "soundflow.cli", "infer")
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("infer")
    engine = make_engine()
    facts = TrainingFacts(1024)
    save_checkpoint(folder / "model", engine.model, engine.tokenizer, engine.spec, facts)
    audio = 0.1 * np.random.default_rng(0).standard_normal(600 * 16_000)
    soundfile.write(folder / "talk.flac", audio.clip(-1, 1), 16_000)
    return folder


def started(place: Path, *words: str) -> subprocess.Popen[str]:
    settings = ("precision=fp32", "session.sampling.max_reply_tokens=4")
    return subprocess.Popen(
        [*SOUNDFLOW, str(place / "model"), *words, *settings],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV,
        # A suite started in the background inherits an ignored SIGINT; a person's shell has not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


@pytest.mark.slow
def test_ctrl_c_in_real_time_ends_the_session_in_good_order(place: Path, tmp_path: Path) -> None:
    words = ("--realtime", "--json", "--record", str(tmp_path / "s"))
    process = started(place, str(place / "talk.flac"), *words, "--report", str(tmp_path / "r.html"))
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    events = [json.loads(line) for line in (*lines, *out.splitlines())]
    assert events[-1]["event"] == "session_ended"
    assert events[-1]["time_s"] < 60
    assert "real-time factor" in error
    assert "stopped by SIGINT" in error
    assert "Traceback" not in error
    assert (tmp_path / "r.html").is_file()
    assert read_session(tmp_path / "s").complete
    replayed = started(place, "--replay", str(tmp_path / "s"))
    out, error = replayed.communicate(timeout=60)
    assert replayed.returncode == 2  # settings were named
    replayed = subprocess.run(
        [*SOUNDFLOW, str(place / "model"), "--replay", str(tmp_path / "s")],
        capture_output=True, text=True, env=ENV, timeout=60,
    )  # fmt: skip
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


@pytest.mark.slow
def test_a_killed_session_leaves_a_record_that_replays(place: Path, tmp_path: Path) -> None:
    process = started(place, str(place / "talk.flac"), "--record", str(tmp_path / "s"))
    events = tmp_path / "s" / EVENTS
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (events.is_file() and events.stat().st_size > 60_000):
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    recorded = read_session(tmp_path / "s")
    assert not recorded.complete
    done = subprocess.run(
        [*SOUNDFLOW, str(place / "model"), "--replay", str(tmp_path / "s"), "--json"],
        capture_output=True, text=True, env=ENV, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["first"] is None
    assert found["events"] > 0.9 * len(recorded.events)
