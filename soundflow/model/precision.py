"""Which number format a model runs in: measured, because processors differ fifty-fold.

bfloat16 halves the memory traffic and is the faster by far where the processor multiplies it
(AMX, AVX512-BF16, CUDA from compute capability 8.0). Elsewhere each product is emulated: on a CPU
with AVX2 alone a training step takes ten times as long as in float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from soundflow.config.settings import NumberFormat, Precision
from soundflow.errors import UserError
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.spec import StreamSpec

DTYPES: dict[NumberFormat, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
MARGIN = 0.1  # by how much bfloat16 must be faster to be worth its rounding
BUDGET_S = 2.0
CONTEXT_POSITIONS = 256


def require_device(device: str) -> None:
    """Checks that a model can run on ``device``, as torch names it.

    Raises:
        UserError: if torch knows no such device, or there is none here.
    """
    try:
        found = torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError, NotImplementedError):  # a torch without CUDA asserts
        found = []
    if not found:
        raise UserError(
            f"device={device}: there is no such device here",
            "device=cpu works everywhere; `soundflow doctor` shows what this machine has",
        )


def choose_dtype(
    precision: Precision,
    device: str,
    seconds: Callable[[torch.dtype], float],
    margin: float = MARGIN,
) -> torch.dtype:
    """The dtype that ``precision`` names; for ``auto`` the faster of float32 and bfloat16.

    Args:
        device: as torch names it. CUDA takes bfloat16 where the device multiplies it; a device
            that is neither CUDA nor a CPU takes float32.
        seconds: how long one step takes in a dtype; asked on a CPU only.
        margin: by how much bfloat16 must be faster.
    """
    if precision != "auto":
        return DTYPES[precision]
    kind = torch.device(device).type
    if kind == "cuda":
        emulated = not torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.float32 if emulated else torch.bfloat16
    if kind != "cpu":
        return torch.float32
    bf16_limit_s = (1 - margin) * seconds(torch.float32)
    return torch.bfloat16 if seconds(torch.bfloat16) < bf16_limit_s else torch.float32


def precision_name(dtype: torch.dtype) -> NumberFormat:
    """The name of a dtype in recipes and results."""
    return next(name for name, known in DTYPES.items() if known == dtype)


def step_seconds(step: Callable[[], object], tries: int = 3, budget_s: float = BUDGET_S) -> float:
    """Wall-clock seconds of the fastest of ``tries`` runs; fewer when the budget is spent."""
    started = time.perf_counter()
    best = float("inf")
    for _ in range(tries):
        begun = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - begun)
        if time.perf_counter() - started > budget_s:
            break
    return best


def chunk_seconds(model: AudioInteractionModel, spec: StreamSpec, sessions: int = 1) -> float:
    """Seconds for a chunk of each of ``sessions``: encoding, positions and decision in batches."""
    time_base, tokens = spec.time, spec.tokens
    with torch.inference_mode():
        mel = torch.zeros(sessions, spec.front_end.n_mels, time_base.frames_per_chunk)
        context = torch.full((sessions, CONTEXT_POSITIONS), tokens.text_end)
        chunk = torch.full((sessions, time_base.slots_per_chunk), tokens.audio_pad)
        mel, context, chunk = (t.to(model.device) for t in (mel, context, chunk))
        cache = model.new_cache()
        model.hidden(model.embed(context), cache=cache)

        def step() -> None:
            hidden = model.hidden(model.embed(chunk, model.encode(mel)), cache=cache)
            model.logits(hidden[:, -1])

        return step_seconds(step)
