"""What the sessions of an executor need of the model: batches in, numbers out.

::

    encode    log-mel chunks ─▶ encoder outputs
    prefill   an instruction prefix ─▶ a row of the pool; computed once, then copied
    rewrite   another prefix and all that follows ─▶ the same row
    run       a step of each of several sessions ─▶ p(response) of blocks, next tokens of replies
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from inference.decoder.dialogue_decoder import Step
from inference.engine import Engine
from inference.passes.encoder_graphs import EncoderGraphs
from inference.passes.kv_pool import KvPool, Saved, Segment
from inference.passes.ragged_forward import ragged_forward
from inference.passes.recorded import Recorder
from inference.passes.sampler import Draw, Sampler
from inference.passes.step_graphs import StepGraphs
from soundflow.protocol import layout

SAVED_PREFIXES = 8

Float32 = npt.NDArray[np.float32]

Forward = Callable[[Tensor, Sequence[Segment], Sequence[int]], Tensor]


@dataclass(frozen=True)
class Request:
    """A step of one session on its row. ``draw`` says how a reply goes on; None while listening."""

    row: int
    step: Step
    draw: Draw | None


class ModelRunner:
    """The model of an engine with the keys and values of all sessions.

    Args:
        rows: how many sessions there may be.
    """

    def __init__(self, engine: Engine, rows: int) -> None:
        self._engine, self._model = engine, engine.model
        self._tokens = engine.spec.tokens
        on_cuda = engine.model.device.type == "cuda"
        self.pool = KvPool(
            engine.model, rows, engine.limit_positions, engine.profile.positions,
            spare=1 if on_cuda else 0,
        )  # fmt: skip
        self._forward: Forward = partial(ragged_forward, engine.model, self.pool)
        self._encode: Callable[[Float32], Tensor] = engine.encode
        self._graphs: tuple[EncoderGraphs, StepGraphs] | None = None
        if on_cuda:
            record = Recorder(engine.model.device)
            self._graphs = (
                EncoderGraphs(engine, record),
                StepGraphs(engine.model, self.pool, self.longest_part, record),
            )
            self._encode, self._forward = self._graphs
        self._sampler = Sampler(self._tokens, engine.model.device)
        pair = [self._tokens.text_begin, self._tokens.keep_silence]
        self._pair = torch.tensor(pair, device=engine.model.device)
        self._prefixes: dict[tuple[int, ...], Saved] = {}

    @property
    def longest_part(self) -> int:
        """Tokens between two decisions at most: what ends a reply that was stopped before its
        first word (TEXT_BEGIN, emotion, TEXT_END), and a chunk.
        """
        slots = self._engine.spec.time.slots_per_chunk
        return 3 + len(layout.listen(self._tokens, slots).ids)

    @torch.inference_mode()
    def record_ahead(self, chunks: int, blocks: int) -> None:
        """On a GPU, records what live sessions compute, so that none waits for it.

        Args:
            chunks: of one encoder batch, at most.
            blocks: of one pass, at most.
        """
        if self._graphs is None:
            return
        encoder, steps = self._graphs
        # What the memory is not enough for is computed in parts when it is due.
        with suppress(torch.OutOfMemoryError):
            encoder.record_all(min(chunks, self.pool.rows))
            steps.record_all(self.pool.rows, blocks)

    def encode(self, mels: Float32) -> Tensor:
        """Chunks (n, n_mels, frames) of any sessions -> (n, slots, d)."""
        return self._encode(mels)

    @torch.inference_mode()
    def prefill(self, prefix: tuple[int, ...]) -> int:
        """A new row of the pool that holds a prefix."""
        row = self.pool.allocate()
        try:
            self._fill(row, prefix)
        except BaseException:
            self.pool.release(row)
            raise
        return row

    @torch.inference_mode()
    def rewrite(self, row: int, prefix: tuple[int, ...], step: Step) -> None:
        """Computes a row anew: a prefix, then ``step``. Where that fails, it holds what it did."""
        before = self.pool.save(row)
        self.pool.rollback(row, 0)
        try:
            self._fill(row, prefix)
            if step.ids:
                self.run([Request(row, step, None)])
        except BaseException:
            self.pool.rollback(row, 0)
            self.pool.copy(before, row)
            raise

    def _fill(self, row: int, prefix: tuple[int, ...]) -> None:
        """Puts a prefix into an empty row."""
        if prefix in self._prefixes:
            saved = self._prefixes[prefix] = self._prefixes.pop(prefix)  # the newest is last
            self.pool.copy(saved, row)
            return
        segment = self.pool.extend(row, len(prefix))
        embeds = self._embed([Step(prefix, (), (), ())])
        ragged_forward(self._model, self.pool, embeds, [segment], [])
        if len(self._prefixes) == SAVED_PREFIXES:
            del self._prefixes[next(iter(self._prefixes))]
        self._prefixes[prefix] = self.pool.save(row)

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> list[list[float]]:
        """One forward pass and one transfer from the device.

        Args:
            requests: those of listening sessions first. The rows are extended by their steps; where
                the pass fails, they are as long as before.

        Returns:
            For every request in order, for each of its ``step.read``: p(response), or the next
            token; NaN where the logits hold NaN or infinity.
        """
        before = [self.pool.length(r.row) for r in requests]
        try:
            values = iter(self._run(requests))
        except BaseException:
            for request, length in zip(requests, before, strict=True):
                self.pool.rollback(request.row, length)
            raise
        return [list(islice(values, len(r.step.read))) for r in requests]

    def _run(self, requests: Sequence[Request]) -> list[float]:
        segments = [self.pool.extend(r.row, len(r.step.ids)) for r in requests]
        embeds = self._embed([r.step for r in requests])
        read, start = [], 0
        for request in requests:
            read += [start + at for at in request.step.read]
            start += len(request.step.ids)
        hidden = self._forward(embeds, segments, read)
        draws = [r.draw for r in requests if r.draw is not None]
        n_decisions = len(read) - len(draws)
        found = []
        if n_decisions:
            found.append(self.p_response(hidden[:n_decisions]))
        if draws:
            found.append(self._sampler.draw(self._model.logits(hidden[n_decisions:]), draws))
        values: list[float] = torch.cat(found).tolist()
        return values

    def p_response(self, hidden: Tensor) -> Tensor:
        """(n, d) -> (n,) float64; only the two columns of the decision are computed."""
        pair = functional.linear(hidden, self._model.lm.lm_head.weight[self._pair]).float()
        p = torch.sigmoid(pair[:, 0] - pair[:, 1]).double()
        return p.masked_fill(~pair.isfinite().all(1), float("nan"))

    def _embed(self, steps: Sequence[Step]) -> Tensor:
        """(N, d) of all steps, with the encoder outputs in their places."""
        ids = np.concatenate([step.ids for step in steps])
        device = self._model.device
        tokens = torch.from_numpy(ids).to(device, non_blocking=True)
        embeds: Tensor = self._model.lm.model.embed_tokens(tokens)
        slots = [one for step in steps for one in step.slots]
        if slots:
            places = torch.from_numpy(np.flatnonzero(ids == self._tokens.pad))
            places = places.to(device, non_blocking=True)
            embeds = embeds.index_copy(0, places, torch.cat(slots).to(embeds.dtype))
        return embeds
