"""The pool of keys and values: rows, rollback, eviction, shared prefixes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.passes.kv_pool import KvPool
from inference.passes.ragged_forward import ragged_forward
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.text.tiny import tiny_tokenizer
from tests.inference.engines import make_engine

MODEL = make_engine().model
ONE_LAYER = AudioInteractionModel(
    ModelConfig(
        AudioEncoderConfig(width=32, layers=1, heads=2, ffn_width=64, max_positions=64),
        LmConfig(width=32, layers=1, heads=4, kv_heads=2, ffn_width=64, max_positions=4096,
                 init_std=0.3),
    ), tiny_tokenizer().table,
).eval()  # fmt: skip


def noise(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 32, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def append(pool: KvPool, row: int, embeds: torch.Tensor, model=MODEL) -> torch.Tensor:
    return ragged_forward(model, pool, embeds, [pool.extend(row, len(embeds))])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6))
def test_rows_side_by_side_give_what_transformers_gives_each_alone(steps):
    pool = KvPool(MODEL, 3, 64)
    rows = [pool.allocate(), pool.allocate()]
    streams = [noise(sum(s[i] for s in steps), i) for i in (0, 1)]
    found, at = [[], []], [0, 0]
    with torch.inference_mode():
        for sizes in steps:
            segments = [pool.extend(row, n) for row, n in zip(rows, sizes, strict=True)]
            parts = [streams[i][at[i] : at[i] + sizes[i]] for i in (0, 1)]
            hidden = ragged_forward(MODEL, pool, torch.cat(parts), segments)
            for i, part in enumerate(hidden.split(list(sizes))):
                found[i].append(part)
                at[i] += sizes[i]
        for i in (0, 1):
            whole = MODEL.hidden(streams[i][None])[0]
            assert torch.allclose(torch.cat(found[i]), whole, atol=1e-5)


def test_a_rollback_forgets_what_came_last():
    pool = KvPool(MODEL, 1, 64)
    row = pool.allocate()
    append(pool, row, noise(10))
    append(pool, row, noise(5, 1))
    pool.rollback(row, 10)
    assert pool.length(row) == 10
    after = append(pool, row, noise(3, 2))
    with torch.inference_mode():
        whole = MODEL.hidden(torch.cat((noise(10), noise(3, 2)))[None])[0, -3:]
    assert torch.allclose(after, whole, atol=1e-5)
    with pytest.raises(ValueError, match="13 positions"):
        pool.rollback(row, 14)


@pytest.mark.parametrize("spans", [[(4, 9)], [(4, 9), (15, 16)], [(29, 30)]])
@pytest.mark.parametrize("positions", ["exact", "half"])
def test_evicting_from_one_layer_is_exact(spans, positions):
    """The first layer knows nothing of its context: keys move, and equal those computed anew."""
    pool = KvPool(ONE_LAYER, 2, 4096, positions)
    row, other = pool.allocate(), pool.allocate()
    start = 2040 if positions == "half" else 0  # half precision merges positions from 2048
    embeds = torch.cat((noise(start, 5), noise(30)))
    append(pool, row, embeds, ONE_LAYER)
    moved = [(a + start, b + start) for a, b in spans]
    pool.evict(row, moved)
    stays = torch.ones(len(embeds), dtype=torch.bool)
    for a, b in moved:
        stays[a:b] = False
    append(pool, other, embeds[stays], ONE_LAYER)
    n = int(stays.sum())
    assert pool.length(row) == pool.length(other) == n
    for buffer in (pool.keys[0], pool.values[0]):
        assert torch.allclose(buffer[row, :, :n], buffer[other, :, :n], atol=1e-4)
    again = [append(pool, r, noise(3, 9), ONE_LAYER) for r in (row, other)]
    assert torch.allclose(*again, atol=1e-4)


def test_evicting_from_deeper_layers_keeps_what_they_took_from_the_evicted():
    """The one thing that is not as computed anew; it is the context that was there at the time."""
    pool = KvPool(MODEL, 2, 64)
    row, other = pool.allocate(), pool.allocate()
    append(pool, row, noise(30))
    pool.evict(row, [(4, 9)])
    append(pool, other, torch.cat((noise(30)[:4], noise(30)[9:])))
    assert torch.allclose(pool.keys[0][row, :, :25], pool.keys[0][other, :, :25], atol=1e-5)
    gap = (pool.keys[1][row, :, :25] - pool.keys[1][other, :, :25]).abs()
    assert gap[:, :4].max() < 1e-5, "the prefix never saw them"
    assert gap[:, 4:].max() > 1e-3


def test_turning_keys_again_and_again_stays_exact():
    pool = KvPool(ONE_LAYER, 2, 512)
    row, other = pool.allocate(), pool.allocate()
    kept = noise(20)
    append(pool, row, torch.cat((noise(400, 1), kept)), ONE_LAYER)
    for _ in range(40):
        pool.evict(row, [(0, 10)])
    append(pool, other, kept, ONE_LAYER)
    assert torch.allclose(pool.keys[0][row, :, :20], pool.keys[0][other, :, :20], atol=1e-4)


def test_a_copied_prefix_is_the_computed_one():
    pool = KvPool(MODEL, 2, 64)
    first = pool.allocate()
    append(pool, first, noise(10))
    saved = pool.save(first)
    append(pool, first, noise(5, 1))
    second = pool.allocate()
    pool.copy(saved, second)
    pool.rollback(first, 10)
    assert torch.equal(append(pool, first, noise(4, 2)), append(pool, second, noise(4, 2)))


def test_rows_run_out_and_come_back_wiped():
    pool = KvPool(MODEL, 1, 16)
    row = pool.allocate()
    append(pool, row, noise(9))
    with pytest.raises(RuntimeError, match="in use"):
        pool.allocate()
    with pytest.raises(ValueError, match="exceed 16"):
        pool.extend(row, 8)
    pool.release(row)
    assert pool.allocate() == row
    assert not pool.keys[0].any()
    assert pool.length(row) == 0
