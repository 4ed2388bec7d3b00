"""What is named is taken; what is measured is the real model, which stays as it was."""

from __future__ import annotations

import pytest
import torch

from soundflow.data.batch import Update, packed
from soundflow.data.features import stream_features
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.spec import StreamSpec
from soundflow.train import compute
from soundflow.train.compute import Compute, choose_compute
from soundflow.train.recipe import ComputeConfig


@pytest.fixture
def update(make_tone_stream, spec: StreamSpec) -> Update:
    row = packed([stream_features(make_tone_stream(i, 4), spec) for i in range(2)], spec)
    return Update((row, packed([], spec)), row.decisions, row.reply_tokens)


@pytest.mark.parametrize(
    ("fp32_s", "bf16_s", "chosen"), [(1, 9, "fp32"), (9, 1, "bf16"), (10, 8, "fp32")]
)
def test_the_clearly_faster_format_is_taken(
    small_model: ModelConfig, spec: StreamSpec, update, monkeypatch: pytest.MonkeyPatch,
    fp32_s: float, bf16_s: float, chosen: str,
) -> None:  # fmt: skip
    model = AudioInteractionModel(small_model, spec.tokens)
    seconds = {torch.float32: fp32_s, torch.bfloat16: bf16_s}
    asked: list[torch.dtype] = []
    monkeypatch.setattr(compute, "_update", lambda *given: asked.append(given[-1]))
    monkeypatch.setattr(compute, "step_seconds", lambda step: step() or seconds[asked[-1]])
    found = choose_compute(ComputeConfig(threads=1), model, update)
    assert str(found) == f"{chosen}, 1 thread(s) a process"
    assert set(asked) == set(seconds)


def test_processes_share_the_cores(
    small_model: ModelConfig, spec: StreamSpec, update, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    monkeypatch.setattr(compute, "cores", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", tried.append)
    monkeypatch.setattr(compute, "_update", lambda *_: None)
    monkeypatch.setattr(compute, "step_seconds", lambda step: 1 / tried[-1])
    model = AudioInteractionModel(small_model, spec.tokens)
    found = choose_compute(ComputeConfig(precision="fp32"), model, update, local_ranks=2)
    assert found == Compute(torch.float32, 3)
    assert tried[-1] == 3


def test_measuring_leaves_the_model_alone(
    small_model: ModelConfig, spec: StreamSpec, update
) -> None:
    torch.manual_seed(0)
    model = AudioInteractionModel(small_model, spec.tokens)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    drawn = torch.random.get_rng_state()
    choose_compute(ComputeConfig(threads=1), model, update)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), drawn)
