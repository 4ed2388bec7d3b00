"""Where a reply goes: our arithmetic beside the published rule and its faulty corner."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.interop.conversations import is_silent
from soundflow.protocol.layout import parse_online
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.tokens import TokenTable
from tests.parity.reference.reply_chunks import exact, published

TIME = TimeBase()


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("prefix", ["", "edge_"])
def test_the_published_rule_gives_the_published_rows(shared: Path, prefix: str) -> None:
    folder = shared / "goldens/online"
    late = dropped = 0
    for choice, row in zip(
        _lines(folder / f"{prefix}step2.jsonl"),
        _lines(folder / f"{prefix}step4.jsonl"),
        strict=True,
    ):
        turns = choice["turns"]
        ends = list(accumulate(t["leading_silence_frames"] + t["audio_frames"] for t in turns))
        tail = choice["tail_silence_frames_actual"]
        theirs, ours = published(ends, tail, TIME), exact(ends, tail, TIME)
        parsed = parse_online(TokenTable(), 10, row["input_ids"])
        spoken = [
            chunk
            for chunk, turn in zip(theirs.chunks, turns, strict=True)
            if chunk is not None and not is_silent(turn["assistant"])
        ]
        assert [t.chunk for t in parsed.turns] == spoken
        assert parsed.n_chunks == theirs.n_chunks == ours.n_chunks
        for a, b, end in zip(theirs.chunks, ours.chunks, ends, strict=True):
            assert b is not None
            dropped += a is None
            if a is not None:
                late += a - b
                assert a - b == (end % 10 == 0)
    # The goldens show both faults: a reply that comes a chunk late, and replies that vanish.
    assert (late, dropped) == ((1, 0) if not prefix else (4, 4))


def test_the_edge_report_counts_what_is_dropped(shared: Path) -> None:
    for report in json.loads((shared / "goldens/online/edge_report.json").read_text()):
        ends = list(accumulate(lead + audio for lead, audio in report["frames"]))
        rule = published(ends, report["tail"], TIME)
        assert sum(c is not None for c in rule.chunks) == report["replies_emitted"]
        assert rule.n_chunks == report["token_chunks"]
        assert None not in exact(ends, report["tail"], TIME).chunks


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 60))
def test_ours_never_drops_and_never_answers_before_the_end(gaps: list[int], tail: int) -> None:
    ends = list(accumulate(gaps))
    rule = exact(ends, tail, TIME)
    for end, chunk in zip(ends, rule.chunks, strict=True):
        assert chunk is not None
        assert chunk * 10 < end <= (chunk + 1) * 10
        assert chunk < rule.n_chunks
