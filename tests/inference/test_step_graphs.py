"""The fixed shapes of a CUDA graph, computed without one; tests/gpu records them."""

from __future__ import annotations

import torch

from inference.kv_pool import KvPool
from inference.ragged_forward import ragged_forward
from inference.step_graphs import StaticStep, StepGraphs
from tests.inference.engines import make_engine

MODEL = make_engine().model
# Of every pass: the tokens of each row (0: it takes no part), and what is read of them.
PASSES = (
    ((9, 4, 6, 3), None),
    ((5, 5, 0, 1), "last"),
    ((1, 0, 5, 5), "last"),
    ((3, 1, 5, 0), "last"),
    ((5, 1, 7, 1), "first and last"),
)


@torch.inference_mode()
def test_fixed_shapes_give_what_ragged_passes_give():
    ours, plain = KvPool(MODEL, 6, 40, spare=1), KvPool(MODEL, 6, 40)
    rows = [(ours.allocate(), plain.allocate()) for _ in range(4)]
    assert all(a == b for a, b in rows)
    graphs = StepGraphs(MODEL, ours, (5, 1), record=lambda step: step, record_after=0)
    generator = torch.Generator().manual_seed(0)
    for sizes, reads in PASSES:
        taking_part = [(row, n) for (row, _), n in zip(rows, sizes, strict=True) if n]
        embeds = torch.randn(sum(sizes), 32, generator=generator)
        read, at = [], 0
        for _, n in taking_part:
            read += {None: [], "last": [at + n - 1]}.get(reads, sorted({at, at + n - 1}))
            at += n
        segments = [[pool.extend(row, n) for row, n in taking_part] for pool in (ours, plain)]
        found = graphs(embeds, segments[0], read)
        expected = ragged_forward(MODEL, plain, embeds, segments[1], read)
        assert torch.allclose(found, expected, atol=1e-5)
        for row, _ in rows:
            n = plain.length(row)
            assert torch.allclose(ours.keys[1][row, :, :n], plain.keys[1][row, :, :n], atol=1e-5)


@torch.inference_mode()
def test_nan_of_one_row_stays_in_it():
    pool = KvPool(MODEL, 2, 40, spare=1)
    row, other = pool.allocate(), pool.allocate()
    step = StaticStep(MODEL, pool, 2, 5, 40)
    step(torch.full((5, 32), float("nan")), [pool.extend(row, 5)])
    pool.release(row)
    assert step(torch.randn(5, 32), [pool.extend(other, 5)]).isfinite().all()
    assert pool.allocate() == row
    assert step(torch.randn(5, 32), [pool.extend(row, 5)]).isfinite().all()
