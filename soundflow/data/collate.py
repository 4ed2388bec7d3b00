"""Streams to a batch: the features of the live engine, the tokens of the builder, padding.

Nothing is laid out here: ids and roles come from the shard as `soundflow.protocol.layout` made
them, and the mel comes from the same function as in a live session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils.rnn import pad_sequence

from soundflow.audio.frontend import log_mel
from soundflow.data.batch import Batch
from soundflow.protocol.layout import Role
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.schema import StreamSample


@dataclass(frozen=True)
class StreamFeatures:
    """A stream ready for the model: ids (n,), roles (n,), mel (n_chunks, n_mels, frames)."""

    ids: npt.NDArray[np.int32]
    roles: npt.NDArray[np.int8]
    mel: npt.NDArray[np.float32]


def stream_features(sample: StreamSample, spec: StreamSpec) -> StreamFeatures:
    """Computes the features of a stream; one without audio has no chunks."""
    return StreamFeatures(
        sample.ids, sample.roles, log_mel(sample.audio(), spec.time, spec.front_end)
    )


def first_chunks(features: StreamFeatures, n_chunks: int, spec: StreamSpec) -> StreamFeatures:
    """An online stream cut after ``n_chunks``: all audio and replies up to there."""
    (starts,) = np.nonzero(features.ids == spec.tokens.audio_begin)
    if len(starts) <= n_chunks:
        return features
    end = int(starts[n_chunks])
    return StreamFeatures(features.ids[:end], features.roles[:end], features.mel[:n_chunks])


def collate(rows: Sequence[StreamFeatures], spec: StreamSpec) -> Batch:
    """Pads the rows on the right and joins their chunks.

    The filler is TEXT_END: any id but those of the audio slots would do, because under a causal
    mask nothing to its left sees it and its role is CONTEXT.
    """
    filler = spec.tokens.text_end
    return Batch(
        ids=_pad([torch.from_numpy(r.ids.astype(np.int64)) for r in rows], filler),
        roles=_pad([torch.from_numpy(r.roles) for r in rows], int(Role.CONTEXT)),
        mel=torch.from_numpy(np.concatenate([r.mel for r in rows])),
    )


def _pad(rows: list[torch.Tensor], filler: int) -> torch.Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=filler)
