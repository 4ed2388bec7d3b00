"""Turns records into token ids, with the layout of the protocol and a text vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soundflow.protocol.layout import offline_answer, offline_prompt, online_stream
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.stream_config import StreamConfig
from soundflow.shards.schema import Pcm, StreamRecord, StreamSample
from soundflow.text.presets import load_vocabulary, stream_spec
from soundflow.text.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Vocabulary:
    """A text tokenizer and the spec of the streams that it is used in."""

    tokenizer: TextTokenizer
    spec: StreamSpec


def read_vocabulary(source: str, stream: StreamConfig | None = None) -> Vocabulary:
    """The tokenizer that ``source`` names, with the spec of the streams that ``stream`` describes.

    Raises:
        UserError: if ``source`` is neither a preset nor a tokenizer folder.
    """
    tokenizer, _ = load_vocabulary(source)
    return Vocabulary(tokenizer, stream_spec(tokenizer, stream))


def online_sample(record: StreamRecord, pcm: Pcm, vocabulary: Vocabulary) -> StreamSample:
    """Lays out an online stream: ids and roles beside the samples."""
    spec, encode = vocabulary.spec, vocabulary.tokenizer.encode
    piece = online_stream(
        spec.tokens,
        spec.time.slots_per_chunk,
        encode(record.system),
        spec.time.chunks_in(len(pcm)),
        {reply.chunk: (encode(reply.text), reply.emotion) for reply in record.replies},
    )
    return StreamSample(
        record=record,
        pcm=pcm,
        ids=np.array(piece.ids, np.int32),
        roles=np.array(piece.roles, np.int8),
    )


def offline_sample(record: StreamRecord, pcm: Pcm, vocabulary: Vocabulary) -> StreamSample:
    """Lays out an offline sample: its audio (none where ``pcm`` is empty), question and answer.

    Raises:
        ValueError: if the record is not one of an offline sample.
    """
    if record.offline is None:
        raise ValueError(f"{record.id} has no answer: it is not an offline sample")
    user, answer = record.offline.user, record.offline.answer
    spec, encode = vocabulary.spec, vocabulary.tokenizer.encode
    slots = spec.time.chunks_in(len(pcm)) * spec.time.slots_per_chunk
    asked = None if user is None else encode(user)
    prompt = offline_prompt(spec.tokens, encode(record.system), slots, asked)
    piece = prompt + offline_answer(spec.tokens, encode(answer))
    return StreamSample(
        record=record,
        pcm=pcm,
        ids=np.array(piece.ids, np.int32),
        roles=np.array(piece.roles, np.int8),
    )
