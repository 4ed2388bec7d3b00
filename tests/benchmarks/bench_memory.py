"""Predicted and measured peak memory of a training process on a CPU, at three sizes.

    python tests/benchmarks/bench_memory.py

Each measurement is two updates of two rows in a process of its own, against what that process held
after the same pass over a very small model (libraries and their caches).
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import torch

from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.tiny import tiny_config
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from soundflow.train.compute import computing
from soundflow.train.loss import loss_sums
from soundflow.train.memory import RowShape, predict, row_batch
from soundflow.train.optim import OptimConfig, build_optimizer
from soundflow.train.stages import StageConfig, apply_stage

TOWER = AudioEncoderConfig(width=256, layers=4, heads=4, ffn_width=1024, max_positions=64)
CASES = {
    "9 M, all, fp32": (256, 6, ("*",), RowShape((300, 300), 40, 120), "float32"),
    "27 M, all, fp32": (512, 8, ("*",), RowShape((400, 300, 300), 65, 200), "float32"),
    "27 M, all, bf16": (512, 8, ("*",), RowShape((400, 300, 300), 65, 200), "bfloat16"),
    "58 M, all, fp32": (640, 12, ("*",), RowShape((500,) * 4, 130, 400), "float32"),
    "58 M, adapter, fp32": (
        640, 12, ("encoder.proj.*",), RowShape((500,) * 4, 130, 400), "float32",
    ),
}  # fmt: skip


def sizes(width: int, layers: int) -> ModelConfig:
    lm = LmConfig(width=width, layers=layers, heads=width // 64, kv_heads=2, ffn_width=3 * width,
                  max_positions=2048)  # fmt: skip
    return ModelConfig(TOWER, lm)


def resident(what: str) -> int:
    """Bytes of this process now (VmRSS) or at most so far (VmHWM)."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


def measure(name: str) -> int:
    width, layers, patterns, row, dtype = CASES[name]
    kind = getattr(torch, dtype)
    updates(tiny_config(), ("*",), RowShape((100,), 8, 20), kind)
    before = resident("VmRSS")
    updates(sizes(width, layers), patterns, row, kind)
    return resident("VmHWM") - before


def updates(
    config: ModelConfig, patterns: tuple[str, ...], row: RowShape, kind: torch.dtype
) -> None:
    spec = stream_spec(tiny_tokenizer())
    model = AudioInteractionModel(config, spec.tokens)
    apply_stage(model, StageConfig(train=patterns))
    optimizer = build_optimizer(model, OptimConfig(updates=2))
    batch = row_batch(row, spec)
    for _ in range(2):
        for _ in range(2):
            with computing(kind, torch.device("cpu")):
                sums = loss_sums(model, batch)
                loss = sums.stream + sums.reply
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def main() -> None:
    if len(sys.argv) == 2:
        print(json.dumps(measure(sys.argv[1])))
        return
    print(platform.processor() or platform.machine())
    spec = stream_spec(tiny_tokenizer())
    for name, (width, layers, patterns, row, dtype) in CASES.items():
        command = [sys.executable, __file__, name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        plan = predict(sizes(width, layers), spec, StageConfig(train=patterns), row,
                       dtype=getattr(torch, dtype))  # fmt: skip
        off = plan.peak / measured - 1
        print(f"{name:30} predicted {plan.peak / 2**20:7.0f} MiB, measured "
              f"{measured / 2**20:7.0f} MiB: {off:+.0%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
