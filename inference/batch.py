"""Many finished streams decoded side by side, for evaluation and validation.

The decisions are the decoder loop's, one loop a stream; only the arithmetic is shared. Streams
take their steps together in one forward pass. Where one stream appends fewer positions than
another, its row is padded and the padding masked for ever, so every stream sees exactly its own
past at exactly its own positions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.chunk_queue import ChunkQueue, HeardChunk
from inference.decoder_loop import DecoderLoop, Step
from inference.engine import Engine
from inference.events import SessionEvent
from inference.policy import Policy
from inference.session import prefix_ids
from soundflow.model.interaction import AudioInteractionModel


@dataclass(frozen=True)
class BatchStream:
    """A finished stream: its encoded chunks (n, slots, d), its instruction and its decider."""

    slots: Tensor
    system: str
    policy: Policy


class BatchMemory:
    """The key/value caches of several streams in one. Nothing is ever forgotten.

    Args:
        prefixes: the online prefix of every stream.
    """

    def __init__(self, model: AudioInteractionModel, prefixes: Sequence[Sequence[int]]) -> None:
        self._model = model
        self._cache = model.new_cache()
        n = len(prefixes)
        self._valid = torch.zeros((n, 0), dtype=torch.bool, device=model.device)
        self.lengths = [0] * n
        self.run([Step(tuple(p), (), (), (len(p) - 1,)) for p in prefixes])

    def run(self, steps: Sequence[Step | None]) -> list[Tensor | None]:
        """One forward pass for a step of every stream (None: this one waits)."""
        model, device = self._model, self._model.device
        counts = [len(s.ids) if s else 0 for s in steps]
        width = max(counts)
        # Padding is embedded as an ordinary token; the mask keeps it out of sight.
        fill = model.tokens.keep_silence
        rows = [
            [*(s.ids if s else ()), *(fill,) * (width - count)]
            for s, count in zip(steps, counts, strict=True)
        ]
        ids = torch.tensor(rows, dtype=torch.long, device=device)
        slots = [x for s in steps if s for x in s.slots]
        hidden = self._forward(model.embed(ids, torch.cat(slots) if slots else None), counts)
        at = [(row, r) for row, s in enumerate(steps) if s for r in s.read]
        logits = model.logits(hidden[[r for r, _ in at], [c for _, c in at]])
        parts: list[Tensor | None] = []
        for step in steps:
            parts.append(logits[: len(step.read)] if step else None)
            logits = logits[len(step.read) if step else 0 :]
        return parts

    def _forward(self, embeds: Tensor, counts: Sequence[int]) -> Tensor:
        n, width, _ = embeds.shape
        offsets = torch.arange(width, device=embeds.device)
        lengths = torch.tensor(self.lengths, device=embeds.device)[:, None]
        added = torch.tensor(counts, device=embeds.device)[:, None]
        fresh = offsets < added
        causal = offsets[:, None] >= offsets[None, :]
        past = self._valid[:, None, :].expand(n, width, -1)
        # A padded query sees itself, because attention over nothing is not a number.
        own = (causal & fresh[:, None, :]) | torch.eye(width, dtype=torch.bool, device=fresh.device)
        mask = torch.cat((past, own), dim=2).unsqueeze(1)
        positions = lengths + torch.minimum(offsets, (added - 1).clamp(min=0))
        out = self._model.lm.model(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._valid = torch.cat((self._valid, fresh), dim=1)
        self.lengths = [a + b for a, b in zip(self.lengths, counts, strict=True)]
        hidden: Tensor = out.last_hidden_state
        return hidden


def decode_batch(
    engine: Engine, streams: Sequence[BatchStream], max_reply_tokens: int
) -> list[list[SessionEvent] | None]:
    """The events of every stream, as its own session would give them.

    None stands for a stream that outgrew the positions that training saw: its session would have
    to forget, which a batch cannot; run a session for it.
    """
    loops = [
        DecoderLoop(engine.spec, engine.tokenizer, s.policy, max_reply_tokens, lambda: 0.0)
        for s in streams
    ]
    queues = [ChunkQueue(1) for _ in streams]
    waiting = [deque(HeardChunk(i, x) for i, x in enumerate(s.slots)) for s in streams]
    events: list[list[SessionEvent]] = [[] for _ in streams]
    outgrown: set[int] = set()
    with torch.inference_mode():
        memory = BatchMemory(engine.model, [prefix_ids(engine, s.system) for s in streams])
        while True:
            steps = [
                None if i in outgrown else _next_step(loops[i], queues[i], waiting[i])
                for i in range(len(streams))
            ]
            for i, step in enumerate(steps):
                if step and memory.lengths[i] + len(step.ids) > engine.limit_positions:
                    outgrown.add(i)
                    steps[i] = None
            if not any(steps):
                return [None if i in outgrown else e for i, e in enumerate(events)]
            for i, logits in enumerate(memory.run(steps)):
                if logits is not None:
                    events[i] += loops[i].take(logits)


def _next_step(loop: DecoderLoop, queue: ChunkQueue, waiting: deque[HeardChunk]) -> Step | None:
    step = loop.next_step(queue)
    if step is None and waiting:
        queue.put(waiting.popleft())
        step = loop.next_step(queue)
    return step
