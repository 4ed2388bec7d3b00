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

from soundflow.config.record import record
from soundflow.train.recipe import ComputeConfig, StrategyName
from soundflow.train.run import run
from soundflow.train.strategy.replicated import Replicated
from tests.soundflow.small_run import small_run, update_rows

UPDATES = 6
# Sums of products in another order, some of them as TF32.
TOLERANCE = 1e-3


def devices(n: int) -> pytest.MarkDecorator:
    reason = f"needs {n} CUDA device(s)"
    return pytest.mark.skipif(torch.cuda.device_count() < n, reason=reason)


def on_cuda(n: int, strategy: StrategyName) -> ComputeConfig:
    return ComputeConfig(
        precision="fp32", accelerator="cuda", devices=n, strategy=strategy, compile=False
    )


@pytest.mark.parametrize(
    ("n", "strategy"),
    [
        pytest.param(n, strategy, marks=devices(n))
        for n in (1, 2)
        for strategy in ("ddp", "zero2", "zero3", "fsdp")
    ],
)
def test_every_strategy_takes_the_updates_of_one_device(
    tmp_path: Path, n: int, strategy: StrategyName
) -> None:
    recipe = small_run(tmp_path, strategy, on_cuda(n, strategy), UPDATES)
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
