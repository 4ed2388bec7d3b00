"""Offline exchanges: one question about a finished recording, or in text alone, and its answer.

::

    A_T_T   OFFLINE ... <system>   AUDIO_BEGIN AUDIO_PAD*n AUDIO_END   USER <question>   ASSISTANT ▸
    A_T     OFFLINE ... <system>   AUDIO_BEGIN AUDIO_PAD*n AUDIO_END                     ASSISTANT ▸
    T_T     OFFLINE ... <system>                                       USER <question>   ASSISTANT ▸

The layout is the one that offline samples are built with (`soundflow.protocol.layout`). Nothing is
decided: the whole of the audio is heard, then the answer is written, token by token. So there is no
session to schedule, and no executor: several are answered side by side in a pool of their own.
A model that was never trained on this layout (`Engine.decides`) is asked in its own,
`inference.chat_template`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference.chat_template import TURN_END, chat_prompt, encode_in_windows
from inference.decoder.sampling import SamplingConfig
from inference.decoder.turn import repeats
from inference.engine import Engine
from inference.events import EndReason
from inference.feed import packets
from inference.limits import NonFiniteLogitsError, TimedOutError
from inference.passes.kv_pool import KvPool
from inference.passes.ragged_forward import ragged_forward
from inference.passes.sampler import Draw, Sampler
from inference.sessions.audio_frontend import mel_chunks
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
        end: the token that ends the answer.
    """

    task: OfflineTask
    ids: tuple[int, ...]
    slots: Tensor | None
    end: int


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
    n_slots = 0 if slots is None else slots.shape[:2].numel()
    if engine.decides:
        ids, end = _laid_out(engine, text, n_slots, question), engine.spec.tokens.text_end
    else:
        ids = chat_prompt(engine, text, n_slots, question)
        end = engine.tokenizer.added_id(TURN_END)
    if len(ids) >= engine.limit_positions:
        raise _too_long(engine, f"{len(ids)}")
    return Prompt(offline_task(question, slots is not None), ids, slots, end)


def _laid_out(engine: Engine, system: str, n_slots: int, question: str | None) -> tuple[int, ...]:
    table, encode = engine.spec.tokens, engine.tokenizer.encode
    asked = None if question is None else encode(question)
    piece = layout.offline_prompt(table, encode(system), n_slots, asked)
    return (*piece.ids, *layout.offline_answer_begin(table).ids)


def answer(
    engine: Engine,
    prompt: Prompt,
    sampling: SamplingConfig,
    show: Callable[[str], None] = lambda text: None,
) -> Answer:
    """Writes one answer.

    Args:
        show: called with each piece of text when it is whole.

    Raises:
        NonFiniteLogitsError: if the logits hold NaN or infinity.
    """
    (found,) = answers(engine, [prompt], sampling, lambda _, text: show(text))
    if isinstance(found, UserError):
        raise found
    return found


@torch.inference_mode()
def answers(
    engine: Engine,
    prompts: Sequence[Prompt],
    sampling: SamplingConfig,
    show: Callable[[int, str], None] = lambda at, text: None,
    timeout_s: float = inf,
    clock: Callable[[], float] = time.monotonic,
) -> list[Answer | UserError]:
    """Writes the answers to several prompts side by side: a pass over each prompt, then one for a
    token of every answer. One that fails costs the others nothing.

    Args:
        show: called with the index of a prompt and each piece of its answer when it is whole.
        timeout_s: computation that one answer may take; a pass is shared out equally.

    Returns:
        In the order of the prompts; `NonFiniteLogitsError` where the logits hold NaN or infinity,
        `TimedOutError` where an answer took too long.
    """
    model, limit = engine.model, engine.limit_positions
    sampler = Sampler(engine.spec.tokens, model.device)
    writers = [_Writer(engine, prompt, sampling) for prompt in prompts]
    if not prompts:
        return []
    columns = max(min(limit, len(p.ids) + sampling.max_reply_tokens) for p in prompts)
    pool = KvPool(model, len(prompts), columns, engine.profile.positions)

    def advance(taking_part: Sequence[int], embeds: Tensor, n_tokens: int) -> None:
        """A pass over ``n_tokens`` of each, and what it finds."""
        began_s = clock()
        segments = [pool.extend(at, n_tokens) for at in taking_part]
        last = range(n_tokens - 1, len(embeds), n_tokens)
        hidden = ragged_forward(model, pool, embeds, segments, last)
        draws = [writers[at].next_draw() for at in taking_part]
        found = sampler.draw(model.logits(hidden), draws).tolist()
        share_s = (clock() - began_s) / len(taking_part)
        for at, token in zip(taking_part, found, strict=True):
            text = writers[at].take(token, share_s, timeout_s)
            if text:
                show(at, text)

    for prompt in prompts:
        embeds = model.embed(torch.tensor([prompt.ids], device=model.device), prompt.slots)[0]
        advance([pool.allocate()], embeds, len(embeds))
    while going := [at for at, writer in enumerate(writers) if writer.found is None]:
        newest = torch.tensor([[writers[at].said[-1] for at in going]], device=model.device)
        advance(going, model.embed(newest, None)[0], 1)
    return [writer.found for writer in writers if writer.found is not None]


class _Writer:
    """One answer while it is written.

    Attributes:
        said: its tokens.
        found: the whole answer, or why there is none; None before its end.
    """

    def __init__(self, engine: Engine, prompt: Prompt, sampling: SamplingConfig) -> None:
        self._prompt = prompt
        self._sampling = sampling
        self._most = min(sampling.max_reply_tokens, engine.limit_positions - len(prompt.ids))
        # The text end of the published vocabulary is Qwen's end of text: it ends either layout.
        self._ends = (prompt.end, engine.spec.tokens.text_end)
        self._rng = np.random.Generator(np.random.PCG64(sampling.seed))
        self._decoder = engine.tokenizer.stream_decoder()
        self._decode = engine.tokenizer.decode
        self._spent_s = 0.0
        self.said: tuple[int, ...] = ()
        self.found: Answer | UserError | None = None

    def next_draw(self) -> Draw:
        return Draw(self._sampling, float(self._rng.random()), emotion=False)

    def take(self, token: float, took_s: float, timeout_s: float) -> str:
        """Takes the next token (NaN where there is none) and returns the text that it completes."""
        self._spent_s += took_s
        if not isfinite(token):
            self.found = NonFiniteLogitsError(0)
            return ""
        if token in self._ends:
            self._end("end")
            return ""
        self.said = (*self.said, int(token))
        if self._spent_s > timeout_s:
            self.found = TimedOutError(timeout_s)
        elif self._sampling.max_repeats and repeats(self.said, self._sampling.max_repeats):
            self._end("repetition")
        elif len(self.said) == self._most:
            self._end("limit")
        return self._decoder.push(self.said[-1])

    def _end(self, reason: EndReason) -> None:
        text, prompt = self._decode(self.said), self._prompt
        self.found = Answer(prompt.task, text, reason, len(prompt.ids), len(self.said))


def _encode(engine: Engine, recording: Recording) -> Tensor:
    """(n_chunks, slots, d); padded to whole chunks, as offline samples are, and no silence."""
    recording = replace(recording, blocks=_while_it_fits(engine, recording.blocks), pause_s=0.0)
    whole = packets(recording, engine.profile, engine.spec.time)
    mel = mel_chunks(engine.spec, engine.profile, whole)
    if engine.decides or not len(mel):
        return engine.encode(mel)
    return encode_in_windows(engine, mel)


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
