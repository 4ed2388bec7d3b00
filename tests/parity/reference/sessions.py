"""Whole greedy sessions through the live engine beside the reference's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from inference.decoder.sampling import SamplingConfig
from inference.engine import engine_of
from inference.events import Decided, ReplyEnded, ReplyStarted, ReplyText, SessionEvent
from inference.feed import feed
from inference.profiles import OURS, PUBLISHED, Profile
from inference.sessions.config import SessionConfig
from inference.sessions.lockstep import Lockstep
from inference.sources.names import resolve
from inference.sources.recordings import Reader
from soundflow.model.weights import Checkpoint
from soundflow.protocol.tokens import TokenTable
from tests.parity.reference.features import WAVS, gap
from tests.parity.reference.rows import Row

GREEDY = SessionConfig(sampling=SamplingConfig(temperature=0, max_repeats=None))


@dataclass
class Recorded:
    """A session: its events, and the logits behind every decision and every reply token."""

    events: list[SessionEvent] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)


def run(checkpoint: Checkpoint, wavs: Sequence[Path], profile: Profile) -> Recorded:
    """Recordings through the engine as `soundflow infer` runs them, greedily."""
    engine = engine_of(checkpoint, profile=profile)
    recorded = Recorded()
    stock, session = engine.model.logits, Lockstep(engine, GREEDY)
    runner = session.executor.runner
    decide = runner.p_response

    def recording(hidden: Tensor) -> Tensor:
        logits = stock(hidden)
        recorded.logits.append(logits[-1].clone())
        return logits

    def recording_decision(hidden: Tensor) -> Tensor:
        recording(hidden)
        return decide(hidden)

    engine.model.logits = recording  # type: ignore[method-assign]
    runner.p_response = recording_decision  # type: ignore[method-assign]
    try:
        recordings = map(Reader(engine.spec).open, resolve([str(p) for p in wavs]))
        for output in feed(engine, session, recordings):
            recorded.events += output.events
    finally:
        del engine.model.logits  # type: ignore[method-assign]
    return recorded


def turns(events: Sequence[SessionEvent], table: TokenTable) -> list[list[int]]:
    """The reference's form: the tokens that answer each chunk."""
    out: list[list[int]] = []
    for event in events:
        if isinstance(event, Decided):
            out.append([table.text_begin if event.speak else table.keep_silence])
        elif isinstance(event, ReplyStarted):
            out[-1].append(table.emotion_ids[event.emotion])
        elif isinstance(event, ReplyText):
            out[-1].append(event.token)
        elif isinstance(event, ReplyEnded):
            out[-1].append(table.text_end)
    return out


def session_rows(goldens: Path, checkpoint: Checkpoint) -> Iterator[Row]:
    told: dict[str, Any] = json.loads((goldens / "sessions.json").read_text())
    logits = totals = full = 0.0
    differ = 0
    for name in (*WAVS, "session_abc"):
        single = name != "session_abc"
        gold = load_file(goldens / (f"wav_{name}.safetensors" if single else f"{name}.safetensors"))
        wavs = [goldens / f"wavs/{w}.wav" for w in ([name] if single else WAVS)]
        found_run = run(checkpoint, wavs, PUBLISHED)
        found = torch.stack(found_run.logits)
        logits = max(logits, gap(found[:, gold["logits_ids"]], gold["logits_subset"]))
        totals = max(totals, gap(found.logsumexp(1), gold["logits_lse"]))
        full = max(full, gap(found[gold["full_idx"]], gold["full_logits"]))
        said, wanted = turns(found_run.events, checkpoint.spec.tokens), told[name]["turns"]
        differ += abs(len(said) - len(wanted))
        differ += sum(a != b for a, b in zip(said, wanted, strict=False))
    yield Row(
        "logits at every decision, 3 sessions of 1 file and 1 of 3", "reference", logits, 1e-4
    )
    yield Row("their logsumexp over the whole vocabulary", "reference", totals, 1e-4)
    yield Row("whole rows of logits, 151 936 wide", "reference", full, 1e-4)
    yield Row("greedy turns of the 4 sessions", "reference", differ, 0, "turns")


def default_differences(goldens: Path, checkpoint: Checkpoint) -> tuple[int, int]:
    """Under our default profile: chunks answered otherwise than published, of how many."""
    told = json.loads((goldens / "sessions.json").read_text())
    wavs = [goldens / f"wavs/{name}.wav" for name in WAVS]
    said = turns(run(checkpoint, wavs, OURS).events, checkpoint.spec.tokens)
    wanted = told["session_abc"]["turns"]
    assert len(said) == len(wanted)
    return sum(a != b for a, b in zip(said, wanted, strict=True)), len(wanted)
