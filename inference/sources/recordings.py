"""Opens sources of audio as recordings, with their ground truth where it is known.

A recording is read as it is heard: a file is opened when its turn comes, and no more of it is
decoded than the session has asked for.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from inference.packets import cut, mono_blocks, resampled, scaled
from inference.sources.microphone import OpenMicrophone, open_microphone
from inference.sources.names import AudioFile, BuiltStream, MicrophoneInput, Pipe, Source
from inference.sources.pipes import pipe_blocks
from soundflow.audio.files import AudioBlocks
from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.turns import Event
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamSample

Float32 = npt.NDArray[np.float32]
Array = npt.NDArray[np.generic]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One source of audio.

    Attributes:
        blocks: mono samples at the stream's rate, in blocks of any length, read when asked for.
        system: the instruction it was built with; None for plain recordings.
        events: the ground truth, in samples from its own start; None if unknown.
        pause_s: silence after it; None for what the profile says.
        live: whether its blocks arrive at the speed of the clock by themselves.
    """

    name: str
    blocks: Iterator[Float32]
    system: str | None = None
    events: tuple[Event, ...] | None = None
    pause_s: float | None = None
    live: bool = False


@dataclass(frozen=True)
class Reader:
    """How sources become recordings.

    Attributes:
        packet_s: about how long a block is.
        pcm_rate_hz: the rate of raw PCM from a pipe; the stream's where None.
        standard_input: what ``-`` reads; that of the process where None.
        open_microphone: opens an input device.
    """

    spec: StreamSpec
    packet_s: float = 0.1
    pcm_rate_hz: int | None = None
    standard_input: BinaryIO | None = None
    open_microphone: OpenMicrophone = open_microphone

    def open(self, source: Source) -> Recording:
        """The recording behind a source; files and pipes are opened at their first block.

        Raises:
            UserError: if it cannot be read, then or while it is read.
        """
        match source:
            case AudioFile(path, pause_s):
                return Recording(path.name, self._file(path), pause_s=pause_s)
            case Pipe(path, pause_s) if path is not None:
                return Recording(path.name, self._fifo(path), pause_s=pause_s)
            case Pipe(_, pause_s):
                pipe = self.standard_input or sys.stdin.buffer
                blocks = self._pipe(pipe, "standard input")
                return Recording("standard input", blocks, pause_s=pause_s)
            case BuiltStream(folder, position, pause_s):
                return self._built(folder, position, pause_s)
            case MicrophoneInput(device, pause_s):
                packets = self.open_microphone(device, self.spec.time.sample_rate_hz, self.packet_s)
                blocks = resampled(packets.blocks, packets.rate_hz, self.spec.time.sample_rate_hz)
                return Recording(packets.name, blocks, pause_s=pause_s or 0.0, live=True)

    def _file(self, path: Path) -> Iterator[Float32]:
        blocks = AudioBlocks(path, self.spec.time.sample_rate_hz, read_ahead=False)
        said = 0
        for block in blocks:
            said = _warn(blocks, said)
            yield from cut(block, max(1, self.spec.time.samples(self.packet_s)))
        _warn(blocks, said)

    def _fifo(self, path: Path) -> Iterator[Float32]:
        try:
            with path.open("rb") as pipe:
                yield from self._pipe(pipe, str(path))
        except OSError as error:
            why = error.strerror
            raise UserError(f"{path}: cannot be read ({why})", "check the pipe") from error

    def _pipe(self, pipe: BinaryIO, name: str) -> Iterator[Float32]:
        rate_hz = self.spec.time.sample_rate_hz
        return pipe_blocks(
            pipe, name, rate_hz, pcm_rate_hz=self.pcm_rate_hz or rate_hz, packet_s=self.packet_s
        )

    def _built(self, folder: Path, position: int, pause_s: float | None) -> Recording:
        shards = ShardSet(folder)
        self.spec.require_same(shards.spec, "the checkpoint", str(folder))
        block_samples = max(1, self.spec.time.samples(self.packet_s))
        return built_stream(shards.read(position), block_samples, pause_s)


def _warn(blocks: AudioBlocks, said: int) -> int:
    for warning in blocks.warnings[said:]:
        log.warning("%s: %s", blocks.name, warning)
    return len(blocks.warnings)


def built_stream(
    sample: StreamSample, block_samples: int, pause_s: float | None = None
) -> Recording:
    """A stream of built data with its instruction and ground truth. It ends in its own silence."""
    record = sample.record
    blocks = cut(sample.audio(), block_samples)
    return Recording(record.id, blocks, record.system, record.events, pause_s or 0.0)


def samples_recording(name: str, packets: Iterable[Array], from_hz: int, to_hz: int) -> Recording:
    """Samples in memory, or packets as they arrive.

    Args:
        packets: mono (n,) or (n, channels), float in [-1, 1] or int16, at ``from_hz``.
    """
    channels = (_two_dimensional(packet) for packet in packets)
    return Recording(name, resampled(mono_blocks(channels, name, from_hz), from_hz, to_hz))


def _two_dimensional(packet: Array) -> Float32:
    samples = scaled(packet)
    if samples.ndim not in (1, 2):
        raise UserError(
            f"expected samples of shape (n,) or (n, channels), got {samples.shape}", "reshape them"
        )
    return samples if samples.ndim == 2 else samples[:, None]
