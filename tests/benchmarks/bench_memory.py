"""Predicted and measured peak memory of a training process on a CPU.

    python -m tests.benchmarks.bench_memory          # about two minutes on one core

Each measurement is six updates of two packed rows in a process of its own, every row of other
streams, against what that process held after an update of a very small model (libraries and their
caches). `soundflow.train.pass_memory.KEPT` was chosen from the first cases. The others say how well
it predicts: other depths, widths and row lengths, bfloat16, a large vocabulary. The predicted peak
is to be within 20 % of what is measured.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from inference.hardware import hardware
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.spec import StreamSpec
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from soundflow.train.compute import computing
from soundflow.train.loss import loss_sums
from soundflow.train.memory import predict
from soundflow.train.optim import build_optimizer
from soundflow.train.pass_memory import KEPT, RowShape, row_batch
from soundflow.train.recipe import OptimConfig, StageConfig
from soundflow.train.stages import apply_stage
from tests.benchmarks.tiny_model import tiny_config

UPDATES, ROWS = 6, 2
ADAPTER = ("encoder.proj.*",)


@dataclass(frozen=True)
class Case:
    """A language model of ``width`` and ``layers`` that trains on rows of ``tokens``."""

    width: int
    layers: int
    tokens: int
    train: tuple[str, ...] = ("*",)
    dtype: str = "float32"
    vocabulary: int | None = None

    @property
    def sizes(self) -> ModelConfig:
        tower = AudioEncoderConfig(width=256, layers=4, heads=4, ffn_width=1024, max_positions=64)
        lm = LmConfig(width=self.width, layers=self.layers, heads=self.width // 64, kv_heads=1,
                      ffn_width=3 * self.width, max_positions=2048, tied=True)  # fmt: skip
        return ModelConfig(tower, lm)

    @property
    def spec(self) -> StreamSpec:
        spec = stream_spec(tiny_tokenizer())
        size = self.vocabulary or spec.tokens.vocab_size
        return replace(spec, tokens=replace(spec.tokens, vocab_size=size))

    def rows(self) -> Iterator[RowShape]:
        """Full rows of streams of 150 to 450 tokens, as a plan packs them."""
        drawn = random.Random(0)
        while True:
            lengths = [drawn.randint(150, 450) for _ in range(self.tokens // 150)]
            while sum(lengths) > self.tokens:
                lengths.pop()
            lengths.append(max(1, self.tokens - sum(lengths)))
            yield RowShape(tuple(lengths), self.tokens // 15, self.tokens // 5)


CHOSEN_FROM = {
    "256 x 6": Case(256, 6, 600),
    "512 x 8": Case(512, 8, 1000),
    "512 x 8, adapter": Case(512, 8, 1000, ADAPTER),
}
HELD_OUT = {
    "384 x 6": Case(384, 6, 1500),
    "640 x 10": Case(640, 10, 800),
    "192 x 12": Case(192, 12, 2000),
    "384 x 6, adapter": Case(384, 6, 1500, ADAPTER),
    "384 x 6, bfloat16": Case(384, 6, 1500, dtype="bfloat16"),
    "256 x 4, vocabulary 50 000": Case(256, 4, 1000, vocabulary=50_000),
}


def resident(what: str) -> int:
    """Bytes of this process now (VmRSS) or at most so far (VmHWM)."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


def measure(case: Case) -> int:
    train(replace(case, width=64, layers=1, tokens=100, vocabulary=None), tiny_config())
    before = resident("VmRSS")
    train(case, case.sizes)
    return resident("VmHWM") - before


def train(case: Case, sizes: ModelConfig) -> None:
    spec, rows = case.spec, case.rows()
    model = AudioInteractionModel(sizes, spec.tokens)
    apply_stage(model, StageConfig(train=case.train))
    optimizer = build_optimizer(model, OptimConfig(updates=UPDATES))
    for _ in range(UPDATES):
        for _ in range(ROWS):
            batch = row_batch(next(rows), spec)
            with computing(getattr(torch, case.dtype), torch.device("cpu")):
                sums = loss_sums(model, batch)
                loss = sums.stream + sums.reply
            torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()


def main() -> None:
    cases = CHOSEN_FROM | HELD_OUT
    if len(sys.argv) == 2:
        print(json.dumps(measure(cases[sys.argv[1]])))
        return
    print(f"{hardware()}; an allocator keeps {KEPT['cpu']} times the bytes of small tensors")
    for name, case in cases.items():
        command = [sys.executable, __file__, name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        plan = predict(case.sizes, case.spec, StageConfig(train=case.train), next(case.rows()),
                       dtype=getattr(torch, case.dtype))  # fmt: skip
        seen = "chosen from" if name in CHOSEN_FROM else "held out"
        print(f"{name:27} {seen:11} {plan.trained / 1e6:5.1f} M trained: predicted "
              f"{plan.peak / 2**20:5.0f} MiB, measured {measured / 2**20:5.0f} MiB: "
              f"{plan.peak / measured - 1:+4.0%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
