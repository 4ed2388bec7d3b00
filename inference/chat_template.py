"""How Qwen2.5-Omni itself is asked about a recording: its chat template, and its audio windows.

::

    <|im_start|>system\\n SYSTEM <|im_end|>\\n
    <|im_start|>user\\n <|audio_bos|> <|AUDIO|>*n <|audio_eos|> QUESTION <|im_end|>\\n
    <|im_start|>assistant\\n ▸ answer <|im_end|>

Weights that were never trained on our layout know this one alone. Its tower attends within windows
of 2 s, where ours hears chunk by chunk. The template and the default instruction are those of the
processor that the model is published with.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference.engine import Engine

Float32 = npt.NDArray[np.float32]

DEFAULT_SYSTEM = "You are a helpful assistant."
TURN_BEGIN, TURN_END = "<|im_start|>", "<|im_end|>"


def chat_prompt(engine: Engine, system: str, n_slots: int, question: str | None) -> tuple[int, ...]:
    """All ids up to the answer.

    Args:
        system: the instruction; where it is empty, the template's own.

    Raises:
        UserError: if the tokenizer lacks the tokens of the template.
    """
    table, encode = engine.spec.tokens, engine.tokenizer.encode
    begin, end = (engine.tokenizer.added_id(token) for token in (TURN_BEGIN, TURN_END))
    audio = (table.audio_begin, *[table.audio_pad] * n_slots, table.audio_end) if n_slots else ()
    newline = encode("\n")
    return (
        begin, *encode(f"system\n{system or DEFAULT_SYSTEM}"), end, *newline,
        begin, *encode("user\n"), *audio, *encode(question or ""), end, *newline,
        begin, *encode("assistant\n"),
    )  # fmt: skip


def encode_in_windows(engine: Engine, mel: Float32) -> Tensor:
    """The chunks of one recording, (n, n_mels, frames), -> (1, slots, d).

    The tower sees as many frames at once as it was trained with; the last window may be shorter.
    """
    whole = np.concatenate(list(mel), axis=1)
    width = 2 * engine.model.encoder.n_window
    n_full = whole.shape[1] // width * width
    full = whole[:, :n_full].reshape(len(whole), -1, width).transpose(1, 0, 2)
    parts = [np.ascontiguousarray(full), whole[None, :, n_full:]]
    slots = [engine.encode(part).flatten(0, 1) for part in parts if part.size]
    return torch.cat(slots)[None]
