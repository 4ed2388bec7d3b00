"""On CUDA: ZeRO-2 takes the updates of one device, and no row makes the host wait."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from soundflow.config.record import record
from soundflow.train import host_moments
from soundflow.train.fragments import MOMENTS
from soundflow.train.optim import build_optimizer
from soundflow.train.recipe import ComputeConfig, OptimConfig, StrategyName
from soundflow.train.run import run
from soundflow.train.strategy.replicated import Replicated
from tests.soundflow.small_run import small_run, update_rows

UPDATES = 6
# Sums of products in another order, some of them as TF32.
TOLERANCE = 1e-3


def devices(n: int) -> pytest.MarkDecorator:
    reason = f"needs {n} CUDA device(s)"
    return pytest.mark.skipif(torch.cuda.device_count() < n, reason=reason)


def on_cuda(n: int, strategy: StrategyName, offload_moments: bool = False) -> ComputeConfig:
    return ComputeConfig(
        precision="fp32", accelerator="cuda", devices=n, strategy=strategy, compile=False,
        offload_moments=offload_moments,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("n", "strategy", "offload"),
    [
        pytest.param(n, strategy, offload, marks=devices(n))
        for n in (1, 2)
        for strategy in ("ddp", "zero2", "zero3", "fsdp")
        for offload in (False, True)
    ],
)
def test_every_strategy_takes_the_updates_of_one_device(
    tmp_path: Path, n: int, strategy: StrategyName, offload: bool
) -> None:
    recipe = small_run(tmp_path, strategy, on_cuda(n, strategy, offload), UPDATES)
    record(tmp_path / "run.yaml", recipe)
    subprocess.run(
        [sys.executable, "-m", "soundflow.cli", "train", str(tmp_path / "run.yaml")],
        check=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    alone = run(small_run(tmp_path, "alone", on_cuda(1, "single"), UPDATES))
    for a, b in zip(
        update_rows(alone.metrics_file), update_rows(recipe.output / "metrics.jsonl"), strict=True
    ):
        assert b == pytest.approx(a, rel=TOLERANCE, abs=TOLERANCE), a["update"]


@devices(1)
@pytest.mark.parametrize("piece", [1 << 10, 1 << 23])
def test_moments_in_host_memory_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(host_moments, "_PIECE", piece)
    config = OptimConfig(updates=9, weight_decay=0.1)
    models = [nn.Linear(999, 777, device="cuda") for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    here, there = (build_optimizer(m, config, n == 1) for n, m in enumerate(models))
    for _ in range(4):
        for parameters in zip(*(m.parameters() for m in models), strict=True):
            gradient = torch.randn_like(parameters[0])
            for parameter in parameters:
                parameter.grad = gradient.clone()
        here.step()
        there.step()
    for p, q in zip(*(m.parameters() for m in models), strict=True):
        assert torch.equal(p, q)
        for kind in MOMENTS:
            held = there.state[q][kind]
            assert held.is_pinned()
            assert torch.equal(here.state[p][kind].view(-1).cpu(), held)


@devices(1)
def test_no_row_makes_the_host_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second update on: at first cuBLAS and the allocator set themselves up."""

    def strict(call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(self: Replicated, *args: Any, **kwargs: Any) -> Any:
            with no_sync():
                return call(self, *args, **kwargs)

        return checked

    recipe = small_run(tmp_path, "strict", on_cuda(1, "single"), UPDATES)
    run(small_run(tmp_path, "warm", on_cuda(1, "single"), 2))
    monkeypatch.setattr(Replicated, "forward", strict(Replicated.forward))
    monkeypatch.setattr(Replicated, "backward", strict(Replicated.backward))
    assert len(update_rows(run(recipe).metrics_file)) == UPDATES


@contextmanager
def no_sync() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
