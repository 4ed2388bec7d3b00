"""What the engine itself costs: everything around a model that is left out.

With a large model on a GPU this is what the CPU has to do meanwhile, for each session. As there,
passes and encoder batches are laid into fixed shapes; what would be replayed is left out, and the
simulated clock moves by what an H100 takes for it with the 3B shape.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from inference.decoder.sampling import SamplingConfig
from inference.engine import Engine
from inference.events import ReplyText
from inference.limits import Limits
from inference.passes.encoder_graphs import EncoderGraphs
from inference.passes.kv_pool import KvPool
from inference.passes.step_graphs import Shape, StaticStep, StepGraphs
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor, Tick
from inference.sessions.scheduler import Decode, Encode
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.text.tiny import tiny_tokenizer
from tests.benchmarks.live.play import SeededReplies, play
from tests.benchmarks.live.table import chunks_of_noise, say

CHUNKS = 24
REPLY_TOKENS = 20
IN_REAL_TIME = 256
PASS_S, ENCODE_S = 0.009, 0.004  # a pass as measured on an H100; an encoder batch as estimated
# Of passes beside so many sessions; the layers of the 3B shape and of its tower.
LISTENING = Shape(tokens=256, places=32, queries=15, end=2048)
SPEAKING = Shape(tokens=16, places=16, queries=1, end=2048)
LAYERS, TOWER_LAYERS = 36, 32

Open = Callable[[Executor, Engine, int], list[int]]


def host(smallest: Engine, open_sessions: Open) -> None:
    """Sessions in real time that speak now and then; then sessions that all speak at once."""
    n = IN_REAL_TIME
    chunk_s, counts = _in_real_time(smallest, open_sessions)
    say(f"a chunk around the model, {n} sessions", f"{1e3 * chunk_s:.3f} ms", "<= 0.4 ms")
    say(
        "encoder batches and passes in 0.4 s",
        ", ".join(f"{count:.1f} {what}" for what, count in counts.items()),
        "",
    )
    kernels = " / ".join(str(k) for k in _kernels())
    say("kernels of blocks / tokens / an encoder batch", kernels, "")
    _, token_s = costs(smallest, n)
    say(f"a reply token on a CPU, {n} that speak", f"{1e3 * token_s:.3f} ms", "")


def _in_real_time(engine: Engine, open_sessions: Open) -> tuple[float, dict[str, float]]:
    """CPU seconds around the model for a chunk of one session, replies included; how often each
    kind of work was done in the time of a chunk.
    """
    n, spec = IN_REAL_TIME, engine.spec
    executor = Executor(engine, Limits(n))
    runner, width = executor.runner, engine.model.config.lm.width
    hidden, slots = torch.zeros(n, width), torch.zeros(n, spec.time.slots_per_chunk, width)
    replayed: list[int] = []

    def left_out(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def replay() -> Tensor:
            replayed.append(1)
            return hidden

        return replay

    runner.pool = KvPool(engine.model, n, engine.limit_positions, spare=1)
    runner._forward = StepGraphs(engine.model, runner.pool, runner.longest_part, left_out)
    runner._encode = EncoderGraphs(engine, lambda compute: lambda: slots)
    sessions, audio = open_sessions(executor, engine, n), chunks_of_noise(engine, CHUNKS)
    host_s, counts = 0.0, {"batches": 0, "passes": 0, "replayed": 0}

    def timed(work: Callable[[], Tick]) -> tuple[Tick, float]:
        nonlocal host_s
        began = time.thread_time()
        tick = work()
        spent_s = time.thread_time() - began
        host_s += spent_s
        counts["batches"] += isinstance(tick.work, Encode)
        counts["passes"] += isinstance(tick.work, Decode)
        replay_s = {Encode: ENCODE_S, Decode: PASS_S}.get(type(tick.work), 0.0)
        return tick, spent_s + replay_s

    play(executor, sessions, audio, timed)  # some speak by then
    host_s, counts = 0.0, dict.fromkeys(counts, 0)
    replayed.clear()
    play(executor, sessions, audio, timed)
    counts["replayed"] = len(replayed)
    return host_s / (n * CHUNKS), {what: count / CHUNKS for what, count in counts.items()}


class _Kernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what writes memory: a kernel each on a GPU, where a norm, a product with its bias and
    attention are one each too.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = op(*args, **(kwargs or {}))
        given = {x.untyped_storage().data_ptr() for x in args if isinstance(x, Tensor)}
        made = isinstance(found, Tensor) and found.untyped_storage().data_ptr() not in given
        self.count += made or op._schema.is_mutable
        return found


@torch.inference_mode()
def _kernels() -> list[int]:
    """Of a pass with blocks, of one with tokens only, and of an encoder batch, in the shape of 3B
    but for its widths.
    """
    config = ModelConfig(
        AudioEncoderConfig(
            width=32, layers=TOWER_LAYERS, heads=2, ffn_width=64, max_positions=64
        ),
        LmConfig(width=32, layers=LAYERS, heads=4, kv_heads=2, ffn_width=64, max_positions=2048),
    )  # fmt: skip
    tokenizer = tiny_tokenizer()
    model = AudioInteractionModel(config, tokenizer.table).eval()
    pool = KvPool(model, SPEAKING.places, LISTENING.end, spare=1)
    work: list[Callable[[], Tensor]] = [
        StaticStep(model, pool, LISTENING, lambda compute: compute).compute,
        StaticStep(model, pool, SPEAKING, lambda compute: compute).compute,
        lambda: model.encode(torch.zeros(16, 128, 40)),
    ]
    found = []
    for compute in work:
        with _Kernels() as kernels:
            compute()
        found.append(kernels.count)
    return found


def costs(engine: Engine, n: int) -> tuple[float, float]:
    """CPU seconds of a chunk and of a reply token, where ``n`` sessions do the same at once."""
    listening_s, _ = _rounds(engine, n, 0.0)
    speaking_s, tokens = _rounds(engine, n, 1.0)
    return listening_s / n, (speaking_s - listening_s) / max(1.0, tokens)


def _rounds(engine: Engine, n: int, odds: float) -> tuple[float, float]:
    """Median CPU seconds and mean number of tokens for a chunk of every session."""
    table = engine.spec.tokens
    executor = Executor(engine, Limits(n))
    sampling = SamplingConfig(max_reply_tokens=2 * REPLY_TOKENS, max_repeats=None)
    sessions = [
        executor.open(SessionConfig(sampling=sampling), 0.0, SeededReplies(
            np.random.default_rng(i), odds, (REPLY_TOKENS, REPLY_TOKENS + 1), table.normal,
            table.text_end))
        for i in range(n)
    ]  # fmt: skip
    spent, tokens = [], 0
    for chunk in chunks_of_noise(engine, CHUNKS):
        began = time.thread_time()
        for session in sessions:
            executor.push(session, chunk)
        while (tick := executor.tick(0.0)).work is not None:
            tokens += sum(isinstance(event, ReplyText) for _, event in tick.events)
        spent.append(time.thread_time() - began)
    return float(np.median(spent[CHUNKS // 4 :])), tokens / CHUNKS
