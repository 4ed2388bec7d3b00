"""float32 unless bfloat16 is clearly faster; nothing is measured where nothing is to be chosen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from soundflow.errors import UserError
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.precision import (
    choose_dtype,
    chunk_seconds,
    precision_name,
    require_device,
    step_seconds,
)
from soundflow.protocol.spec import StreamSpec


def taking(fp32: float, bf16: float) -> Callable[[torch.dtype], float]:
    return lambda dtype: {torch.float32: fp32, torch.bfloat16: bf16}[dtype]


def unasked(dtype: torch.dtype) -> float:
    raise AssertionError(f"{dtype} was measured")


@pytest.mark.parametrize(
    ("fp32", "bf16", "chosen"),
    [(1.0, 10.0, "fp32"), (1.0, 0.95, "fp32"), (1.0, 0.8, "bf16")],
)
def test_bf16_must_win_clearly(fp32: float, bf16: float, chosen: str) -> None:
    assert precision_name(choose_dtype("auto", "cpu", taking(fp32, bf16))) == chosen


@pytest.mark.parametrize("device", ["foo", "cuda:99", "meta", ""])
def test_a_device_that_is_not_here_is_named(device: str) -> None:
    require_device("cpu")
    with pytest.raises(UserError, match=f"device={device}: there is no such device here"):
        require_device(device)


def test_what_is_named_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_dtype("bf16", "cpu", unasked) == torch.bfloat16
    assert choose_dtype("fp32", "cuda", unasked) == torch.float32
    assert choose_dtype("auto", "mps", unasked) == torch.float32
    for able, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda able=able, **_: able)
        assert choose_dtype("auto", "cuda:0", unasked) == dtype


def test_a_slow_step_is_taken_once() -> None:
    taken: list[int] = []
    assert step_seconds(lambda: taken.append(1), tries=3, budget_s=-1.0) >= 0
    assert len(taken) == 1
    step_seconds(lambda: taken.append(1), tries=3, budget_s=60.0)
    assert len(taken) == 4


def test_a_chunk_is_timed_on_the_model_itself(small_model: ModelConfig, spec: StreamSpec) -> None:
    model = AudioInteractionModel(small_model, spec.tokens).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert 0 < chunk_seconds(model, spec) < float("inf")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
