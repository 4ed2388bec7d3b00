"""A stream as the model takes it: the features of the live engine, the tokens of the builder.

Nothing is laid out here: ids and roles come from the shard as `soundflow.protocol.layout` made
them, and the mel comes from the same function as in a live session.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from soundflow.audio.frontend import log_mel
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.schema import StreamSample


@dataclass(frozen=True)
class StreamFeatures:
    """A stream ready for the model: ids (n,), roles (n,), mel (n_chunks, n_mels, frames).

    ``states`` (n_chunks, slots, width) bfloat16 take the place of the mel where they were computed
    before (`soundflow.data.encoded`).
    """

    id: str
    ids: npt.NDArray[np.int32]
    roles: npt.NDArray[np.int8]
    mel: npt.NDArray[np.float32]
    task: str = ""
    states: Tensor | None = None


def stream_features(sample: StreamSample, spec: StreamSpec) -> StreamFeatures:
    """Computes the features of a stream; one without audio has no chunks."""
    return features_of(sample, sample.audio(), spec)


def features_of(
    sample: StreamSample, audio: npt.NDArray[np.float32], spec: StreamSpec
) -> StreamFeatures:
    """The same from other ``audio`` of the same length, in which everything happens as it did."""
    mel = log_mel(audio, spec.time, spec.front_end)
    return StreamFeatures(sample.record.id, sample.ids, sample.roles, mel, sample.record.task)


def first_chunks(features: StreamFeatures, n_chunks: int, spec: StreamSpec) -> StreamFeatures:
    """An online stream cut after ``n_chunks``: all audio and replies up to there."""
    (starts,) = np.nonzero(features.ids == spec.tokens.audio_begin)
    if len(starts) <= n_chunks:
        return features
    end = int(starts[n_chunks])
    return replace(
        features,
        ids=features.ids[:end],
        roles=features.roles[:end],
        mel=features.mel[:n_chunks],
        states=None if features.states is None else features.states[:n_chunks],
    )
