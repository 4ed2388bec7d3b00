"""Tokens a second, MFU and peak memory of stage 3 at the 3B shape, in rows of 8192 tokens.

    python -m tests.benchmarks.bench_gpu_training          # needs a CUDA device with 80 GB
    python -m tests.benchmarks.bench_gpu_training tiny     # the same code on whatever is here

Whole updates of eight rows: forward, backward, clipping, AdamW. The adapter and the language model
train, the rest of the tower is frozen. MFU counts the arithmetic of the model, not what is
computed again: 6 for each weight of the language model and token, 2 for each weight of the tower
and position, and attention inside each stream (PaLM, appendix B). On several devices ZeRO-2 divides
what takes most of the memory here, and nothing needs to be computed again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from soundflow.data.batch import Batch, packed
from soundflow.data.features import StreamFeatures
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.layout import online_stream
from soundflow.protocol.spec import StreamSpec
from soundflow.text.presets import load_vocabulary, stream_spec
from soundflow.train.compute import computing
from soundflow.train.loss import loss_sums
from soundflow.train.memory import RowShape, predict
from soundflow.train.optim import build_optimizer
from soundflow.train.recipe import LossConfig, OptimConfig, StageConfig
from soundflow.train.stages import apply_stage
from soundflow.train.throughput import peak_flops

TINY = ModelConfig(
    AudioEncoderConfig(width=32, layers=1, heads=2, ffn_width=64, max_positions=64),
    LmConfig(width=64, layers=2, heads=4, kv_heads=2, ffn_width=128),
)
ROWS, UPDATES, WARM_UP = 8, 3, 1
STAGE = StageConfig(train=("encoder.proj.*", "lm.*"))
RECOMPUTED = (1.0, 0.6, 0.3)  # shares of the layers; with less, 80 GB are too small


def make_row(row_tokens: int) -> Batch:
    """Streams of up to 60 chunks with a reply after every tenth."""
    spec, rng = stream_spec(load_vocabulary("tiny")[0]), np.random.default_rng(0)
    streams: list[StreamFeatures] = []
    tokens = 0
    while True:
        chunks = int(rng.integers(20, 61))
        replies = {at: ([100] * 12, "normal") for at in range(9, chunks, 10)}
        piece = online_stream(spec.tokens, spec.time.slots_per_chunk, [], chunks, replies)
        tokens += len(piece)
        if tokens > row_tokens:
            return packed(streams, spec)
        mel = rng.standard_normal((chunks, spec.front_end.n_mels, 40), np.float32)
        ids, roles = np.array(piece.ids, np.int32), np.array(piece.roles, np.int8)
        streams.append(StreamFeatures(f"made{len(streams)}", ids, roles, mel))


def row_flops(model: AudioInteractionModel, row: Batch) -> float:
    lm, tower = model.config.lm, model.encoder
    weights = sum(p.numel() for p in model.lm.parameters()) - model.tokens.vocab_size * lm.width
    head = model.tokens.vocab_size * lm.width
    attention = 12 * lm.layers * lm.width * sum(n * n / 2 for n in row.lengths)
    heard = 2 * sum(p.numel() for p in tower.parameters()) * 20 * len(row.mel)
    flops = 6 * ((weights - head) * len(row.ids) + head * len(row.at)) + attention + heard
    return float(flops)


def main() -> None:
    tiny = "tiny" in sys.argv[1:]
    if not (tiny or torch.cuda.is_available()):
        print("skipped: needs a CUDA device; `tiny` runs the same code here")
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    spec = stream_spec(load_vocabulary("tiny")[0])
    if not tiny:
        spec = replace(spec, tokens=replace(spec.tokens, vocab_size=151_936))
    with device:
        model = AudioInteractionModel(TINY if tiny else ModelConfig(), spec.tokens).train()
    apply_stage(model, STAGE)
    torch.set_float32_matmul_precision("high")
    optimizer = build_optimizer(model, OptimConfig(updates=100))
    row = make_row(2000 if tiny else 8192)
    if device.type == "cuda":
        row = row.pin_memory()

    def update() -> None:
        for _ in range(ROWS):
            batch = row.to(device)
            with computing(torch.bfloat16, device):
                sums = loss_sums(model, batch)
                loss = sums.combined(ROWS * row.decisions, ROWS * row.reply_tokens, LossConfig())
            torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, {model.parameter_count() / 1e9:.2f} G parameters, rows of {len(row.lengths)} "
          f"streams and {len(row.ids)} tokens")  # fmt: skip
    done = (ROWS * len(row.ids), ROWS * row_flops(model, row))
    model.recompute_activations()
    said = measured(update, device, *done)
    print(f"layers as they are, all recomputed: {said}, {predicted(model, spec, row)}", flush=True)
    model.compile_layers()
    for share in RECOMPUTED:
        model.recompute_activations(share)
        said = f"{measured(update, device, *done)}, {predicted(model, spec, row, share, True)}"
        print(f"compiled, {share:.0%} of the layers recomputed: {said}", flush=True)


def predicted(
    model: AudioInteractionModel,
    spec: StreamSpec,
    row: Batch,
    share: float = 1.0,
    compiled: bool = False,
) -> str:
    """The peak that `soundflow check` tells."""
    shape = RowShape(row.lengths, len(row.mel), len(row.at))
    found = predict(
        model.config, spec, STAGE, shape, dtype=torch.bfloat16, recompute_share=share,
        device="cuda", compiled=compiled,
    )  # fmt: skip
    return f"predicted {found.peak / 2**30:.1f} GiB"


def measured(update: Callable[[], None], device: torch.device, tokens: int, flops: float) -> str:
    """What an update of so many tokens and operations reaches."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(WARM_UP + UPDATES):
        started = time.perf_counter()
        update()
        times.append(time.perf_counter() - started)
    seconds = min(times[WARM_UP:])
    said = f"{tokens / seconds:.0f} tokens/s, {flops / seconds / 1e12:.1f} TFLOP/s"
    peak = peak_flops(device, torch.bfloat16)
    if peak is not None:
        said += f", MFU {flops / seconds / peak:.1%}"
    if device.type == "cuda":
        said += f", peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
    return said


if __name__ == "__main__":
    main()
