"""What one forward pass takes: a row of streams, one after another without padding.

::

    ids        | stream a ........ | stream b .... | stream c ............. |   (L,)
    positions  0 1 2 3 ...         0 1 2 ...       0 1 2 ...
    starts     0                   19              34                       56
    slots      where the encoder outputs go        ^^^^^^^^^^
    at         the positions that predict a target: first all decisions, then all reply tokens

Every index is made here, on the loader's side: the training step asks the device nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soundflow.data.features import StreamFeatures
from soundflow.errors import UserError
from soundflow.protocol.layout import Role
from soundflow.protocol.spec import StreamSpec


@dataclass(frozen=True)
class Batch:
    """A packed row.

    A row without a stream holds one token that is no target, so that every rank computes alike.

    Attributes:
        ids: (L,) int64.
        positions: (L,) int64, from 0 in each stream.
        starts: (n_streams + 1,) int32: where each stream begins, and L.
        lengths: of the streams in tokens, on the host.
        slots: (n_slots,) int64: the positions of PAD and AUDIO_PAD, in the order of ``mel``.
        mel: (n_chunks, n_mels, frames) float32: the chunks of all streams.
        at: (n_targets,) int64: where a target is predicted, one position before it.
        targets: (n_targets,) int64: the ids at ``at + 1``.
        decisions: how many of the targets, the first ones, are decisions; the others are reply
            tokens.
        stream_ids: of the streams, for messages.
        tasks: of the streams, for figures by task.
        states: (n_chunks, slots, width) bfloat16: what the tower made of the chunks before
            (`soundflow.data.encoded`); then ``mel`` has none. None: the tower runs.
    """

    ids: Tensor
    positions: Tensor
    starts: Tensor
    lengths: tuple[int, ...]
    slots: Tensor
    mel: Tensor
    at: Tensor
    targets: Tensor
    decisions: int
    stream_ids: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    states: Tensor | None = None

    @property
    def reply_tokens(self) -> int:
        return len(self.targets) - self.decisions

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Batch:
        return self._with_tensors(lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        return self._with_tensors(torch.Tensor.pin_memory)

    def _with_tensors(self, moved: Callable[[Tensor], Tensor]) -> Batch:
        tensors: dict[str, Any] = {
            name: moved(value) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **tensors)


@dataclass(frozen=True)
class Update:
    """One update of the optimiser, as one rank computes it.

    Attributes:
        batches: the rows of this rank, as many as every other rank has.
        decisions, reply_tokens: targets of the whole update, over all ranks.
        error: why the streams of this rank could not be read; then its rows are empty, so that it
            can tell the other ranks where all of them meet.
    """

    batches: tuple[Batch, ...]
    decisions: int
    reply_tokens: int
    error: UserError | None = None

    def as_read(self) -> Update:
        """Itself.

        Raises:
            UserError: if it could not be read.
        """
        if self.error is not None:
            raise self.error
        return self

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Update:
        return replace(self, batches=tuple(b.to(device, non_blocking) for b in self.batches))

    def pin_memory(self) -> Update:
        return replace(self, batches=tuple(b.pin_memory() for b in self.batches))


def packed(streams: Sequence[StreamFeatures], spec: StreamSpec) -> Batch:
    """Joins streams to a row."""
    table = spec.tokens
    lengths = tuple(len(stream.ids) for stream in streams) or (1,)
    starts = np.cumsum([0, *lengths], dtype=np.int32)
    ids = np.full(starts[-1], table.text_end, np.int64)  # the token of a row without a stream
    roles = np.full(starts[-1], int(Role.CONTEXT), np.int8)
    for stream, start in zip(streams, starts, strict=False):
        ids[start : start + len(stream.ids)] = stream.ids
        roles[start : start + len(stream.ids)] = stream.roles
    decisions = np.flatnonzero(roles == Role.DECISION)
    targets = np.concatenate((decisions, np.flatnonzero(roles == Role.REPLY)))
    states = [stream.states for stream in streams if stream.states is not None]
    encoded = torch.cat(states) if states else None
    no_audio = np.zeros((0, spec.front_end.n_mels, spec.time.frames_per_chunk), np.float32)
    return Batch(
        ids=torch.from_numpy(ids),
        positions=torch.cat([torch.arange(n) for n in lengths]),
        starts=torch.from_numpy(starts),
        lengths=lengths,
        slots=torch.from_numpy(np.flatnonzero((ids == table.pad) | (ids == table.audio_pad))),
        mel=torch.from_numpy(
            np.concatenate([no_audio, *(s.mel for s in streams if s.states is None)])
        ),
        at=torch.from_numpy(targets - 1),
        targets=torch.from_numpy(ids[targets]),
        decisions=len(decisions),
        stream_ids=tuple(stream.id for stream in streams),
        tasks=tuple(stream.task for stream in streams),
        states=encoded if encoded is not None and len(encoded) else None,
    )
