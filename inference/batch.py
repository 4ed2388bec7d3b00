"""Decodes many finished streams in one batch, for evaluation and validation.

The decisions are those of a `DialogueDecoder` for each stream; only the forward passes are shared,
and run ahead of time. The audio of a finished stream is known and most decisions are silence, so
each pass computes the next few blocks as if they were all answered by silence::

    decoder asks for    block 3   block 4   block 5   block 6
    computed together   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓
    the model speaks after block 4: its logits are used; 5 and 6 are discarded

A decoder gets computed logits only for exactly the step it asks for, so a wrong guess costs time
and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inference.chunk_queue import ChunkQueue, EncodedChunk
from inference.dialogue_decoder import DialogueDecoder, Step
from inference.engine import Engine
from inference.events import SessionEvent
from inference.policy import Policy
from inference.ragged_cache import RaggedCache
from inference.session import prefix_ids
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.positions import rotary_positions
from soundflow.protocol import layout

AHEAD_CHUNKS = 4


@dataclass(frozen=True)
class BatchStream:
    """A finished stream: its encoded chunks (n, slots, d), its instruction and its decider."""

    slots: Tensor
    system: str
    policy: Policy


@dataclass
class _Row:
    """One stream in progress.

    ``length`` counts the positions its decoder has asked for; what is computed beyond is
    speculative.
    """

    decoder: DialogueDecoder
    waiting: deque[EncodedChunk]
    length: int = 0
    step: Step | None = None
    guesses: deque[tuple[Step, Tensor]] = field(default_factory=deque)
    events: list[SessionEvent] = field(default_factory=list)
    outgrown: bool = False

    def advance(self, limit_positions: int) -> None:
        """Uses every correct guess; afterwards ``step`` is what must be computed."""
        while True:
            self.step = self._next_step()
            if self.step is None:
                return
            if self.length + len(self.step.ids) > limit_positions:
                self.step, self.outgrown = None, True
                return
            guessed, logits = self.guesses.popleft() if self.guesses else (None, None)
            if guessed is None or logits is None or guessed.ids != self.step.ids:
                self.guesses.clear()
                return
            self.length += len(self.step.ids)
            self.events += self.decoder.take(logits)

    def _next_step(self) -> Step | None:
        if self.outgrown:
            return None
        queue = ChunkQueue(1)
        step = self.decoder.next_step(queue)
        if step is None and self.waiting:
            queue.put(self.waiting.popleft())
            step = self.decoder.next_step(queue)
        return step


def decode_batch(
    engine: Engine, streams: Sequence[BatchStream], max_reply_tokens: int
) -> list[list[SessionEvent] | None]:
    """The events of every stream, as its own session would give them.

    None for a stream with more positions than in training: a session would trim its memory, which
    a batch cannot; use a session for it.
    """
    rows = [
        _Row(
            DialogueDecoder(engine.spec, engine.tokenizer, s.policy, max_reply_tokens, lambda: 0.0),
            deque(EncodedChunk(i, x) for i, x in enumerate(s.slots)),
        )
        for s in streams
    ]
    prefixes = [prefix_ids(engine, s.system) for s in streams]
    with torch.inference_mode():
        cache = RaggedCache()
        plain = [[Step(p, (), (), ())] for p in prefixes]
        _compute(engine, cache, [0] * len(rows), plain)
        for row, prefix in zip(rows, prefixes, strict=True):
            row.length = len(prefix)
            row.advance(engine.limit_positions)
        while any(row.step for row in rows):
            _pass(engine, cache, rows)
    return [None if row.outgrown else row.events for row in rows]


def _pass(engine: Engine, cache: RaggedCache, rows: Sequence[_Row]) -> None:
    """One forward pass: for the speaking rows while there are any, else for the listening ones."""
    speaking = any(row.step and not row.step.slots for row in rows)
    chains: list[list[Step]] = []
    for row in rows:
        takes_part = row.step is not None and bool(row.step.slots) != speaking
        chains.append(_chain(engine, row) if takes_part else [])
    logits = _compute(engine, cache, [row.length for row in rows], chains)
    for row, chain, computed in zip(rows, chains, logits, strict=True):
        if chain:
            row.guesses.extend(zip(chain[1:], computed[1:], strict=True))
            row.length += len(chain[0].ids)
            row.events += row.decoder.take(computed[0])
            row.advance(engine.limit_positions)


def _chain(engine: Engine, row: _Row) -> list[Step]:
    """The step a row asks for and, while it listens, those that follow if it stays silent."""
    assert row.step is not None
    if not row.step.slots:
        return [row.step]
    table, n_slots = engine.spec.tokens, engine.spec.time.slots_per_chunk
    quiet = layout.silence(table) + layout.listen(table, n_slots)
    room = engine.limit_positions - row.length - len(row.step.ids)
    ahead = min(AHEAD_CHUNKS - 1, len(row.waiting), room // len(quiet))
    return [
        row.step,
        *(Step(quiet.ids, (row.waiting[i].slots,), (1,), (len(quiet) - 1,)) for i in range(ahead)),
    ]


def _compute(
    engine: Engine,
    cache: RaggedCache,
    lengths: Sequence[int],
    chains: Sequence[Sequence[Step]],
) -> list[list[Tensor]]:
    """The logits of every step of every chain; a row without steps is unchanged."""
    model, device = engine.model, engine.model.device
    ids = [[i for step in chain for i in step.ids] for chain in chains]
    width = max(map(len, ids))
    # Padding lands beyond the row's own positions, where nothing looks before it is overwritten.
    filler = model.tokens.keep_silence
    padded = torch.tensor([[*row, *(filler,) * (width - len(row))] for row in ids], device=device)
    slots = [x for chain in chains for step in chain for x in step.slots]
    start = torch.tensor(lengths, device=device).unsqueeze(1)
    positions = start + torch.arange(width, device=device)
    out = model.lm.model(
        inputs_embeds=model.embed(padded, torch.cat(slots) if slots else None),
        attention_mask=cache.place(positions),
        position_ids=rotary_positions(positions, engine.profile.positions),
        past_key_values=cache,
        use_cache=True,
    )
    hidden: Tensor = out.last_hidden_state
    return [_read(model, hidden[row], chain) for row, chain in enumerate(chains)]


def _read(model: AudioInteractionModel, hidden: Tensor, chain: Sequence[Step]) -> list[Tensor]:
    """(L, d) of one row -> logits (m, vocabulary) of each of its steps."""
    found, start = [], 0
    for step in chain:
        found.append(model.logits(hidden[[start + at for at in step.read]]))
        start += len(step.ids)
    return found
