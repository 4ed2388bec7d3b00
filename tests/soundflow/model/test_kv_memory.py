"""A memory without end: equals the whole context while it fits, a fresh start afterwards."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.kv_memory import KvMemory
from soundflow.text.tiny import tiny_table

WIDTH = 16
LIMIT, KEEP, PREFIX = 40, 24, 3


def build() -> AudioInteractionModel:
    torch.manual_seed(0)
    tower = AudioEncoderConfig(width=16, layers=1, heads=2, ffn_width=16, max_positions=32)
    lm = LmConfig(width=WIDTH, layers=2, heads=2, kv_heads=1, ffn_width=32, max_positions=64)
    return AudioInteractionModel(ModelConfig(tower, lm), tiny_table()).eval()


MODEL = build()


def noise(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed))


def memory(limit: int = LIMIT, keep: int | None = KEEP) -> KvMemory:
    return KvMemory(MODEL, noise(PREFIX, 0), limit, keep)


@torch.no_grad()
def fresh(embeds: torch.Tensor) -> torch.Tensor:
    return MODEL.hidden(torch.cat([noise(PREFIX, 0), embeds]).unsqueeze(0))[0]


def test_equals_one_forward_while_it_fits() -> None:
    kept, whole = memory(), noise(30, 1)
    got = torch.cat([kept.append(whole[i : i + 6], (0,)) for i in range(0, 30, 6)])
    torch.testing.assert_close(got, fresh(whole)[PREFIX:], atol=1e-5, rtol=0)
    assert kept.rebuilds == 0
    assert kept.length_positions == PREFIX + 30


def test_past_the_limit_it_is_a_fresh_start_from_the_newest_blocks() -> None:
    kept = memory()
    blocks = [noise(6, 10 + i) for i in range(7)]  # 3 + 42 positions, the limit is 40
    for block in blocks[:-1]:
        kept.append(block, (0,))
    last = kept.append(blocks[-1], (0,))
    assert kept.rebuilds == 1
    assert kept.dropped_blocks == 4  # 21 positions hold 3 blocks
    want = fresh(torch.cat(blocks[4:]))[-6:]
    torch.testing.assert_close(last, want, atol=1e-5, rtol=0)
    after = kept.append(noise(1, 99))
    want = fresh(torch.cat([*blocks[4:], noise(1, 99)]))[-1:]
    torch.testing.assert_close(after, want, atol=1e-5, rtol=0)


def test_a_reply_stays_with_its_block() -> None:
    kept = memory()
    kept.append(noise(10, 1), (0,))
    for i in range(12):  # a reply, token by token
        kept.append(noise(1, 20 + i))
    kept.append(noise(16, 2), (0, 8))  # drains two chunks: 41 positions
    assert kept.rebuilds == 1
    assert kept.dropped_blocks == 1
    assert kept.length_positions == PREFIX + 16


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=12))
def test_the_limit_holds_whatever_comes(appends: list[tuple[int, bool]]) -> None:
    kept = memory()
    for seed, (n, starts) in enumerate(appends):
        hidden = kept.append(noise(n, seed), (0,) if starts else ())
        assert len(hidden) == min(n, KEEP - PREFIX) or len(hidden) == n
        assert kept.length_positions <= LIMIT
        assert kept.cache.get_seq_length() == kept.length_positions


def test_a_reply_that_outgrows_the_memory_keeps_its_audio_and_its_beginning() -> None:
    kept = memory()
    audio, reply = noise(6, 1), noise(60, 2)
    kept.append(audio, (0,))
    rebuilds = []
    for i in range(60):
        before = kept.rebuilds
        last = kept.append(reply[i : i + 1])
        if kept.rebuilds > before:
            rebuilds.append(i)
            # 24 positions are kept: the prefix, the audio, two tokens, and the newest 13.
            whole = torch.cat([audio, reply[:2], reply[i - 12 : i + 1]])
            torch.testing.assert_close(last, fresh(whole)[-1:], atol=1e-5, rtol=0)
    assert len(rebuilds) == 2


def test_a_prefix_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="prefix 3 < keep 3"):
        memory(keep=3)
    with pytest.raises(ValueError, match="trained range 64"):
        memory(limit=65, keep=10)
