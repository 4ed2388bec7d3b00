"""Tokens a second, MFU and peak memory of stage 3 at the 3B shape, in rows of 8192 tokens.

    python -m tests.benchmarks.bench_gpu_training          # needs a CUDA device with 80 GB
    python -m tests.benchmarks.bench_gpu_training 7b       # only with moments in host memory
    python -m tests.benchmarks.bench_gpu_training tiny     # the same code on whatever is here

Whole updates: forward and backward of every row, clipping, AdamW. An update of 1024 streams, as
published, has 64 rows or more on one device; with fewer, what moments in host memory cost counts
for more. The adapter and the language model
train, the rest of the tower is frozen. MFU counts the arithmetic of the model, not what is
computed again: 6 for each weight of the language model and token, 2 for each weight of the tower
and position, and attention inside each stream (PaLM, appendix B). On several devices ZeRO-2 divides
what takes most of the memory here, and nothing needs to be computed again.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from soundflow.data.batch import Batch, packed
from soundflow.data.features import StreamFeatures
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.layout import Piece, online_stream
from soundflow.protocol.spec import StreamSpec
from soundflow.text.presets import load_vocabulary, stream_spec
from soundflow.train.compute import computing
from soundflow.train.loss import loss_sums
from soundflow.train.memory import predict
from soundflow.train.optim import build_optimizer
from soundflow.train.pass_memory import RowShape
from soundflow.train.recipe import LossConfig, OptimConfig, StageConfig
from soundflow.train.stages import apply_stage
from soundflow.train.throughput import peak_flops

TINY = ModelConfig(
    AudioEncoderConfig(width=32, layers=1, heads=2, ffn_width=64, max_positions=64),
    LmConfig(width=64, layers=2, heads=4, kv_heads=2, ffn_width=128),
)
B7 = replace(
    ModelConfig(),
    lm=LmConfig(width=3584, layers=28, heads=28, kv_heads=4, ffn_width=18_944),
)
ROWS, UPDATES, WARM_UP = 8, 3, 1
STAGE = StageConfig(train=("encoder.proj.*", "lm.*"))
PUBLISHED_ROWS = 64


@dataclass(frozen=True)
class Case:
    """How layers that are compiled train.

    Attributes:
        recomputed: share of the layers.
        rows: of an update.
    """

    recomputed: float
    offload_moments: bool = False
    rows: int = ROWS


OFFLOADED = (Case(0.0, True), Case(0.0, True, PUBLISHED_ROWS))
# With less recomputed, or with moments of 7B on the device, 80 GB are too small.
CASES = {
    "3b": (Case(1.0), Case(0.6), Case(0.3), *OFFLOADED),
    "7b": (Case(1.0, True), Case(1.0, True, PUBLISHED_ROWS)),
    "tiny": (Case(1.0), *OFFLOADED),
}


def make_row(row_tokens: int) -> Batch:
    """Streams of 20 to 60 chunks with a reply after every tenth, and a last one that fills the row,
    as a plan of many streams does.
    """
    spec, rng = stream_spec(load_vocabulary("tiny")[0]), np.random.default_rng(0)
    streams: list[StreamFeatures] = []
    tokens = 0
    while True:
        chunks = int(rng.integers(20, 61))
        while tokens + len(piece := _stream(spec, chunks)) > row_tokens:
            chunks -= 1
            if not chunks:
                return packed(streams, spec)
        tokens += len(piece)
        mel = rng.standard_normal((chunks, spec.front_end.n_mels, 40), np.float32)
        ids, roles = np.array(piece.ids, np.int32), np.array(piece.roles, np.int8)
        streams.append(StreamFeatures(f"made{len(streams)}", ids, roles, mel))


def _stream(spec: StreamSpec, chunks: int) -> Piece:
    replies = {at: ([100] * 12, "normal") for at in range(9, chunks, 10)}
    return online_stream(spec.tokens, spec.time.slots_per_chunk, [], chunks, replies)


def row_flops(model: AudioInteractionModel, row: Batch) -> float:
    lm, tower = model.config.lm, model.encoder
    weights = sum(p.numel() for p in model.lm.parameters()) - model.tokens.vocab_size * lm.width
    head = model.tokens.vocab_size * lm.width
    attention = 12 * lm.layers * lm.width * sum(n * n / 2 for n in row.lengths)
    heard = 2 * sum(p.numel() for p in tower.parameters()) * 20 * len(row.mel)
    flops = 6 * ((weights - head) * len(row.ids) + head * len(row.at)) + attention + heard
    return float(flops)


class Training:
    """A model on the device with its optimiser.

    Args:
        row: every row of every update.
    """

    def __init__(self, model: AudioInteractionModel, row: Batch, case: Case) -> None:
        self.model, self.row, self.rows, self.device = model, row, case.rows, model.device
        model.recompute_activations(case.recomputed)
        config = OptimConfig(updates=100)
        self.optimizer = build_optimizer(model, config, case.offload_moments)

    def update(self) -> None:
        for _ in range(self.rows):
            batch = self.row.to(self.device)
            with computing(torch.bfloat16, self.device):
                counts = self.rows * batch.decisions, self.rows * batch.reply_tokens
                loss = loss_sums(self.model, batch).combined(*counts, LossConfig())
            torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def measured(self) -> str:
        """What updates reach."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        times = []
        for _ in range(WARM_UP + (UPDATES if self.rows == ROWS else 1)):
            started = time.perf_counter()
            self.update()
            times.append(time.perf_counter() - started)
        seconds = min(times[WARM_UP:]) / self.rows
        flops = row_flops(self.model, self.row) / seconds
        said = f"{len(self.row.ids) / seconds:.0f} tokens/s, {flops / 1e12:.1f} TFLOP/s"
        peak = peak_flops(self.device, torch.bfloat16)
        if peak is not None:
            said += f", MFU {flops / peak:.1%}"
        if self.device.type == "cuda":
            said += f", peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
        return said


def main(size: str) -> None:
    if not (size == "tiny" or torch.cuda.is_available()):
        print("skipped: needs a CUDA device; `tiny` runs the same code here")
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    spec = stream_spec(load_vocabulary("tiny")[0])
    if size != "tiny":
        spec = replace(spec, tokens=replace(spec.tokens, vocab_size=151_936))
    with device:
        config = {"3b": ModelConfig(), "7b": B7, "tiny": TINY}[size]
        model = AudioInteractionModel(config, spec.tokens).train()
    apply_stage(model, STAGE)
    torch.set_float32_matmul_precision("high")
    row = make_row(2000 if size == "tiny" else 8192)
    if device.type == "cuda":
        row = row.pin_memory()
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, {model.parameter_count() / 1e9:.2f} G parameters, rows of {len(row.lengths)} "
          f"streams and {len(row.ids)} tokens")  # fmt: skip

    def say(case: Case, compiled: bool) -> None:
        reached = Training(model, row, case).measured()
        layers = "compiled" if compiled else "layers as they are"
        print(f"{layers}, {described(case)}: {reached}, "
              f"{predicted(model, spec, row, case, compiled)}", flush=True)  # fmt: skip

    cases = CASES[size]
    say(cases[0], compiled=False)
    model.compile_layers()
    for case in cases:
        say(case, compiled=True)


def described(case: Case) -> str:
    where = ", moments in host memory" if case.offload_moments else ""
    return f"{case.recomputed:.0%} of the layers recomputed{where}, {case.rows} rows an update"


def predicted(
    model: AudioInteractionModel, spec: StreamSpec, row: Batch, case: Case, compiled: bool
) -> str:
    """The peak that `soundflow check` tells."""
    shape = RowShape(row.lengths, len(row.mel), len(row.at))
    found = predict(
        model.config, spec, STAGE, shape, dtype=torch.bfloat16, recompute_share=case.recomputed,
        device="cuda", compiled=compiled, offload_moments=case.offload_moments,
    )  # fmt: skip
    host = f" and {found.host / 2**30:.1f} GiB of the host" if found.host else ""
    return f"predicted {found.peak / 2**30:.1f} GiB{host}"


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "3b")
