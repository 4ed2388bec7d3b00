"""The meter by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.text.tiny import tiny_tokenizer
from soundflow.train.throughput import FlopsPerToken, Meter, peak_flops


@pytest.fixture
def model(small_model: ModelConfig) -> AudioInteractionModel:
    return AudioInteractionModel(small_model, tiny_tokenizer().table)


def test_waiting_is_told_from_work(
    model: AudioInteractionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("soundflow.train.throughput.time.perf_counter", lambda: now[0])
    meter = Meter(model)
    rows = [SimpleNamespace(stream_ids=("a", "b"), lengths=(30, 20)),
            SimpleNamespace(stream_ids=(), lengths=(1,))]  # fmt: skip
    for _ in range(2):
        meter.ready()
        now[0] += 1.0
        meter.begin()
        now[0] += 3.0
        tokens, flops, wait_s = meter.own(rows)
        assert (tokens, wait_s) == (50.0, 1.0)
        meter.done([2 * tokens, 2 * flops, 1.0])  # another rank did not wait
        now[0] += 100.0  # saving and measuring are neither
    found = meter.figures(left=5, world=2, device=torch.device("cpu"), dtype=torch.float32)
    assert found["tokens_per_s"] == pytest.approx(200 / 8)
    assert found["data_wait"] == pytest.approx(1 / 8)
    assert (found["update_s"], found["left_s"]) == (4.0, 20.0)


def test_work_counts_trained_weights_once_more(model: AudioInteractionModel) -> None:
    lm = model.config.lm
    inner = [p for n, p in model.lm.named_parameters() if "embed" not in n and "lm_head" not in n]
    weights = sum(p.numel() for p in inner)
    attention = 6.0 * lm.layers * lm.width
    assert FlopsPerToken.of(model).flops([10, 5]) == 15 * 6.0 * weights + attention * (100 + 25)
    for parameter in inner:
        parameter.requires_grad_(False)
    assert FlopsPerToken.of(model).flops([10]) == 10 * 4.0 * weights + attention * 100


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H200 NVL", 835e12),
        ("NVIDIA GB200", 2500e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", None),
        ("NVIDIA T4", None),
    ],
)
def test_a_peak_is_known_by_the_name_of_the_device(
    monkeypatch: pytest.MonkeyPatch, name: str, flops: float | None
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: name)
    assert peak_flops(torch.device("cuda"), torch.bfloat16) == flops
    assert peak_flops(torch.device("cuda"), torch.float32) is None
