"""Offline exchanges: one question about a finished recording, or in text alone, and its answer.

::

    A_T_T   OFFLINE ... <system>   AUDIO_BEGIN AUDIO_PAD*n AUDIO_END   USER <question>   ASSISTANT ▸
    A_T     OFFLINE ... <system>   AUDIO_BEGIN AUDIO_PAD*n AUDIO_END                     ASSISTANT ▸
    T_T     OFFLINE ... <system>                                       USER <question>   ASSISTANT ▸

The layout is the one that offline samples are built with (`soundflow.protocol.layout`). Nothing is
decided: the whole of the audio is heard, then the answer is written, token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference.audio_frontend import mel_chunks
from inference.dialogue_decoder import repeats
from inference.engine import Engine
from inference.events import EndReason
from inference.feed import packets
from inference.kv_pool import KvPool
from inference.limits import NonFiniteLogitsError
from inference.ragged_forward import ragged_forward
from inference.sampling import Draw, Sampler, SamplingConfig
from inference.sources.recordings import Recording
from soundflow.errors import UserError
from soundflow.interop.conversations import OfflineTask, offline_task
from soundflow.protocol import layout

Float32 = npt.NDArray[np.float32]


class TooLongError(UserError):
    """A recording and its question do not fit into the positions that the model was trained to."""


@dataclass(frozen=True)
class Prompt:
    """All that the model sees before it answers.

    Attributes:
        ids: up to the begin of the answer's text.
        slots: (n_chunks, slots, d) encoder outputs for the AUDIO_PAD positions; None without audio.
    """

    task: OfflineTask
    ids: tuple[int, ...]
    slots: Tensor | None


@dataclass(frozen=True)
class Answer:
    """What was answered.

    Attributes:
        reason: why it ended: by the model, by the limit of tokens or of positions, or because it
            repeated itself.
        prompt_tokens, tokens: how many there were, and how many of text were written.
    """

    task: OfflineTask
    text: str
    reason: EndReason
    prompt_tokens: int
    tokens: int

    def __str__(self) -> str:
        return self.text


def prompt_of(
    engine: Engine, question: str | None, recording: Recording | None, system: str | None = None
) -> Prompt:
    """Reads the recording to its end, encodes it and lays out the exchange.

    Args:
        system: the instruction; None takes that of the recording or the engine's own.

    Raises:
        UserError: if the question is empty, or the audio is or cannot be read.
        TooLongError: if the exchange takes more positions than the model was trained to.
    """
    if question is not None and not question.strip():
        raise UserError("the question is empty", "ask something, or leave it out")
    slots = None if recording is None else _encode(engine, recording)
    if slots is not None and not len(slots):
        raise UserError("the recording holds no audio", "name another one")
    own = None if recording is None else recording.system
    text = next(t for t in (system, own, engine.system) if t is not None)
    table, encode = engine.spec.tokens, engine.tokenizer.encode
    piece = layout.offline_prompt(
        table,
        encode(text),
        0 if slots is None else slots.shape[:2].numel(),
        None if question is None else encode(question),
    )
    ids = (*piece.ids, *layout.offline_answer_begin(table).ids)
    if len(ids) >= engine.limit_positions:
        raise _too_long(engine, f"{len(ids)}")
    return Prompt(offline_task(question, slots is not None), ids, slots)


@torch.inference_mode()
def answer(
    engine: Engine,
    prompt: Prompt,
    sampling: SamplingConfig,
    show: Callable[[str], None] = lambda text: None,
) -> Answer:
    """Writes the answer.

    Args:
        show: called with each piece of text when it is whole.

    Raises:
        NonFiniteLogitsError: if the logits hold NaN or infinity.
    """
    model, table = engine.model, engine.spec.tokens
    room = min(sampling.max_reply_tokens, engine.limit_positions - len(prompt.ids))
    pool = KvPool(model, 1, len(prompt.ids) + room, engine.profile.positions)
    sampler, row = Sampler(table, model.device), pool.allocate()
    rng = np.random.Generator(np.random.PCG64(sampling.seed))
    decoder = engine.tokenizer.stream_decoder()

    def next_token(embeds: Tensor) -> int:
        hidden = ragged_forward(model, pool, embeds, [pool.extend(row, len(embeds))])
        draw = Draw(sampling, float(rng.random()), emotion=False)
        token = float(sampler.draw(model.logits(hidden[-1:]), [draw])[0])
        if not np.isfinite(token):
            raise NonFiniteLogitsError(0)
        return int(token)

    def embedded(ids: tuple[int, ...], slots: Tensor | None) -> Tensor:
        return model.embed(torch.tensor([ids], device=model.device), slots)[0]

    said: tuple[int, ...] = ()
    reason: EndReason = "limit"
    embeds = embedded(prompt.ids, prompt.slots)
    while len(said) < room:
        token = next_token(embeds)
        if token == table.text_end:
            reason = "end"
            break
        said = (*said, token)
        show(decoder.push(token))
        if sampling.max_repeats is not None and repeats(said, sampling.max_repeats):
            reason = "repetition"
            break
        embeds = embedded((token,), None)
    text = engine.tokenizer.decode(said)
    return Answer(prompt.task, text, reason, len(prompt.ids), len(said))


def _encode(engine: Engine, recording: Recording) -> Tensor:
    """(n_chunks, slots, d); padded to whole chunks, as offline samples are, and no silence."""
    recording = replace(recording, blocks=_while_it_fits(engine, recording.blocks), pause_s=0.0)
    whole = packets(recording, engine.profile, engine.spec.time)
    return engine.encode(mel_chunks(engine.spec, engine.profile, whole))


def _while_it_fits(engine: Engine, blocks: Iterator[Float32]) -> Iterator[Float32]:
    """The blocks of a recording; it may have no end, as a microphone has none.

    Raises:
        TooLongError: where its audio alone takes more positions than there are.
    """
    time, received = engine.spec.time, 0
    for block in blocks:
        received += len(block)
        if received // time.chunk_samples * time.slots_per_chunk > engine.limit_positions:
            raise _too_long(engine, f"more than {engine.limit_positions}")
        yield block


def _too_long(engine: Engine, positions: str) -> TooLongError:
    return TooLongError(
        f"recording and question take {positions} positions, and this model was trained to "
        f"{engine.limit_positions}",
        "shorten them; a stream has no such limit",
    )
