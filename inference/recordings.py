"""The recordings that a person names, opened as packets, with their truth where it is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from inference.audio_in import cut, pcm_packets
from soundflow.audio.files import read_audio
from soundflow.errors import UserError, nearest
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.turns import Event
from soundflow.shards.reader import ShardSet

Float32 = npt.NDArray[np.float32]

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Recording:
    """One source of packets.

    Attributes:
        system: the instruction it was built with; None for plain recordings.
        events: its truth, in samples from its own start; None where nobody knows.
    """

    name: str
    packets: Iterator[Float32]
    system: str | None = None
    events: tuple[Event, ...] | None = None


def open_recordings(
    names: Sequence[str], spec: StreamSpec, packet_s: float, pcm_rate_hz: int, pipe: BinaryIO
) -> list[Recording]:
    """Opens every source before the session begins, so that a wrong name costs nothing.

    Raises:
        UserError: if there is none, or one cannot be read.
    """
    if not names:
        raise UserError("no audio was named", "give recordings, '-' for PCM, or FOLDER#STREAM")
    if names.count(STANDARD_INPUT) > 1:
        raise UserError("'-' was named twice", "standard input can be heard once")
    return [_open(name, spec, packet_s, pcm_rate_hz, pipe) for name in names]


def _open(
    name: str, spec: StreamSpec, packet_s: float, pcm_rate_hz: int, pipe: BinaryIO
) -> Recording:
    size = max(1, spec.time.samples(packet_s))
    if name == STANDARD_INPUT:
        return Recording("standard input", pcm_packets(pipe, pcm_rate_hz, spec.time, packet_s))
    folder, mark, stream = name.rpartition("#")
    if mark and Path(folder).is_dir():
        return _stream(Path(folder), stream, spec, size)
    audio = read_audio(name, sample_rate_hz=spec.time.sample_rate_hz)
    return Recording(Path(name).name, cut(audio, size))


def _stream(folder: Path, wanted: str, spec: StreamSpec, size: int) -> Recording:
    """A stream of built data by position or id."""
    shards = ShardSet(folder)
    spec.require_same(shards.spec, "the checkpoint", str(folder))
    position = int(wanted) if wanted.isdecimal() else _position(shards, wanted)
    if not 0 <= position < len(shards):
        raise UserError(
            f"{folder}#{wanted}: no such stream", f"the split holds 0 to {len(shards) - 1}"
        )
    sample = shards.read(position)
    record = sample.record
    return Recording(record.id, cut(sample.audio(), size), record.system, record.events)


def _position(shards: ShardSet, wanted: str) -> int:
    ids = [shards.entry(i).id for i in range(len(shards))]
    if wanted in ids:
        return ids.index(wanted)
    close = nearest(wanted, ids)
    hint = f"did you mean {close}?" if close else "give a position or an id of index.json"
    raise UserError(f"{shards.folder}#{wanted}: no such stream", hint)
