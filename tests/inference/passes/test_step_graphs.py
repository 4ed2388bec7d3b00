"""The fixed shapes of a CUDA graph, computed without one; tests/gpu records them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from inference.passes.encoder_graphs import EncoderGraphs
from inference.passes.kv_pool import KvPool, Segment
from inference.passes.ragged_forward import ragged_forward
from inference.passes.step_graphs import MOST_PARTS, StepGraphs
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.text.tiny import tiny_tokenizer
from tests.inference.engines import make_engine

# Two heads share keys and values, as in the published models.
MODEL = AudioInteractionModel(
    ModelConfig(
        AudioEncoderConfig(width=32, layers=1, heads=2, ffn_width=64, max_positions=64),
        LmConfig(width=32, layers=2, heads=4, kv_heads=2, ffn_width=64, init_std=0.3),
    ),
    tiny_tokenizer().table,
).eval()
LONGEST = 5
# Of every pass: the tokens of each row (0: it takes no part), where what is read of them ends, and
# whether a recorded pass can hold it.
PASSES: tuple[tuple[tuple[int, ...], tuple[tuple[int, ...], ...], bool], ...] = (
    ((9, 4, 6, 3), ((), (), (), ()), False),
    ((9, 4, 6, 3), ((9,), (4,), (6,), (3,)), False),
    ((5, 5, 0, 1), ((5,), (5,), (), (1,)), True),
    ((1, 0, 5, 4), ((1,), (), (5,), (4,)), True),
    ((1, 1, 1, 1), ((1,), (1,), (1,), (1,)), True),
    ((14, 1, 3, 0), ((4, 9, 14), (1,), (3,), ()), True),
    ((4, 4, 1, 0), ((2,), (4,), (1,), ()), False),
)


def computed_before(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """What a recording does: it computes before the first pass, which must change no session."""
    compute()
    return compute


def fixed(pool: KvPool) -> StepGraphs:
    return StepGraphs(MODEL, pool, LONGEST, computed_before)


@torch.inference_mode()
def test_fixed_shapes_give_what_ragged_passes_give() -> None:
    replayed: list[int] = []

    def record(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def replay() -> Tensor:
            replayed.append(1)
            return compute()

        computed_before(compute)
        return replay

    ours, plain = KvPool(MODEL, 6, 50, spare=1), KvPool(MODEL, 6, 50)
    rows = [(ours.allocate(), plain.allocate()) for _ in range(4)]
    assert all(a == b for a, b in rows)
    graphs = StepGraphs(MODEL, ours, LONGEST, record)
    generator = torch.Generator().manual_seed(0)
    for sizes, reads, fits in PASSES:
        taking_part = [(row, n) for (row, _), n in zip(rows, sizes, strict=True) if n]
        embeds = torch.randn(sum(sizes), 32, generator=generator)
        ends = [sum(sizes[: at + 1]) for at in range(4)]
        read = [
            end - n + one - 1
            for end, n, those in zip(ends, sizes, reads, strict=True)
            for one in those
        ]
        segments = [[pool.extend(row, n) for row, n in taking_part] for pool in (ours, plain)]
        replayed.clear()
        found = graphs(embeds, segments[0], read)
        assert bool(replayed) == fits
        expected = ragged_forward(MODEL, plain, embeds, segments[1], read)
        assert torch.allclose(found, expected, atol=1e-5)
        for row, _ in rows:
            n = plain.length(row)
            assert torch.allclose(ours.keys[1][row, :, :n], plain.keys[1][row, :, :n], atol=1e-5)


@torch.inference_mode()
def test_what_sessions_compute_was_recorded_ahead() -> None:
    """Blocks and tokens of any of them, wherever they are in their rows."""
    recorded: list[int] = []

    def record(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        recorded.append(1)
        return lambda: torch.zeros(64, 32)

    columns, sessions, blocks = 3000, 20, 7
    pool = KvPool(MODEL, sessions, columns, spare=1)
    graphs = StepGraphs(MODEL, pool, LONGEST, record)
    graphs.record_all(sessions, blocks)
    ahead = len(recorded)
    rng = np.random.default_rng(0)
    for _ in range(200):
        sizes = np.ones(rng.integers(1, sessions + 1), int)
        sizes[: rng.integers(blocks + 1)] = rng.integers(2, LONGEST + 1)
        starts = rng.integers(columns - LONGEST, size=len(sizes))
        ends = starts + sizes
        segments = [Segment(row, starts[row], ends[row]) for row in range(len(sizes))]
        graphs(torch.zeros(sizes.sum(), 32), segments, (np.cumsum(sizes) - 1).tolist())
    assert len(recorded) == ahead < 60


@torch.inference_mode()
def test_a_row_may_be_full_and_parts_more_than_a_pass_takes() -> None:
    """What pads a shape must not be written behind the last column of a row."""
    n = MOST_PARTS + 3
    ours, plain = KvPool(MODEL, 2, n, spare=1), KvPool(MODEL, 2, n)
    embeds = torch.randn(n, 32, generator=torch.Generator().manual_seed(0))
    for pool in (ours, plain):
        pool.allocate()
    read = [*range(n)]
    found = fixed(ours)(embeds, [ours.extend(0, n)], read)
    expected = ragged_forward(MODEL, plain, embeds, [plain.extend(0, n)], read)
    assert torch.allclose(found, expected, atol=1e-5)


def test_encoder_batches_of_fixed_sizes_give_what_others_give() -> None:
    engine = make_engine()
    graphs = EncoderGraphs(engine, computed_before)
    rng = np.random.default_rng(0)
    for n in (3, 4, 2, 1, 1, 5, 70, 70):
        mels = rng.normal(size=(n, 128, 40)).astype(np.float32)
        found = graphs(mels)
        assert torch.allclose(found, engine.encode(mels), atol=1e-5)
        assert len(found) == n


@torch.inference_mode()
def test_nan_of_one_row_stays_in_it() -> None:
    pool = KvPool(MODEL, 2, 40, spare=1)
    graphs, row, other = fixed(pool), pool.allocate(), pool.allocate()

    def computed(value: Tensor, segment: Segment) -> Tensor:
        return graphs(value, [segment], [4])

    computed(torch.full((5, 32), float("nan")), pool.extend(row, 5))
    pool.release(row)
    assert computed(torch.randn(5, 32), pool.extend(other, 5)).isfinite().all()
    assert pool.allocate() == row
    assert computed(torch.randn(5, 32), pool.extend(row, 5)).isfinite().all()
