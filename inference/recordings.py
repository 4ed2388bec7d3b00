"""Opens recordings by name, with their ground truth where it is known."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from inference.packets import cut, mono_blocks, resampled, scaled
from inference.pipes import pipe_blocks
from soundflow.audio.files import AudioBlocks
from soundflow.errors import UserError, nearest
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.turns import Event
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamSample

Float32 = npt.NDArray[np.float32]
Array = npt.NDArray[np.generic]

log = logging.getLogger(__name__)

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Recording:
    """One source of audio.

    Attributes:
        blocks: mono samples at the stream's rate, in blocks of any length, read when asked for.
        system: the instruction it was built with; None for plain recordings.
        events: the ground truth, in samples from its own start; None if unknown.
        ends_in_silence: whether it was built with silence at its end.
    """

    name: str
    blocks: Iterator[Float32]
    system: str | None = None
    events: tuple[Event, ...] | None = None
    ends_in_silence: bool = False


def require_present(names: Sequence[str]) -> None:
    """Checks that every named file exists: reading a checkpoint first may take minutes.

    Raises:
        UserError: if one does not.
    """
    for name in names:
        folder, mark, _ = name.rpartition("#")
        built = mark and Path(folder).is_dir()
        if name != STANDARD_INPUT and not built and not Path(name).exists():
            raise UserError(f"{name}: no such file", "check the path")


def open_recordings(
    names: Sequence[str], spec: StreamSpec, packet_s: float, pcm_rate_hz: int, pipe: BinaryIO
) -> list[Recording]:
    """Opens every source before the session begins, so that a wrong name is found early.

    Args:
        names: files, ``FOLDER#STREAM`` (a stream of built data by position or id), FIFOs, or ``-``.
        packet_s: about how long a block is.
        pcm_rate_hz: the rate of raw PCM from a pipe.
        pipe: what ``-`` reads.

    Raises:
        UserError: if there is none, or one cannot be read.
    """
    if not names:
        raise UserError("no audio was named", "give recordings, '-' for a pipe, or FOLDER#STREAM")
    if names.count(STANDARD_INPUT) > 1:
        raise UserError("'-' was named twice", "standard input can be read once")
    return [_open(name, spec, packet_s, pcm_rate_hz, pipe) for name in names]


def _open(
    name: str, spec: StreamSpec, packet_s: float, pcm_rate_hz: int, pipe: BinaryIO
) -> Recording:
    rate_hz = spec.time.sample_rate_hz
    if name == STANDARD_INPUT:
        label = "standard input"
        return Recording(
            label,
            pipe_blocks(pipe, label, rate_hz, pcm_rate_hz=pcm_rate_hz, packet_s=packet_s),
        )
    folder, mark, stream = name.rpartition("#")
    if mark and Path(folder).is_dir():
        return _named_stream(Path(folder), stream, spec, packet_s)
    path = Path(name)
    if _is_pipe(path):
        blocks = _fifo(path, rate_hz, pcm_rate_hz, packet_s)
        return Recording(path.name, blocks)
    return Recording(path.name, _file(path, rate_hz, max(1, spec.time.samples(packet_s))))


def _file(path: Path, rate_hz: int, block_samples: int) -> Iterator[Float32]:
    """The blocks of a file, the first one decoded here, so that a wrong file is refused at once."""
    blocks = AudioBlocks(path, rate_hz)
    decoding = iter(blocks)
    first = next(decoding)
    _warn(blocks.name, blocks.warnings)

    def rest() -> Iterator[Float32]:
        known = len(blocks.warnings)
        for block in chain([first], decoding):
            yield from cut(block, block_samples)
        _warn(blocks.name, blocks.warnings[known:])

    return rest()


def _warn(name: str, warnings: Iterable[str]) -> None:
    for warning in warnings:
        log.warning("%s: %s", name, warning)


def _is_pipe(path: Path) -> bool:
    """Whether it can be read only once: a FIFO, process substitution, terminal or socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _fifo(path: Path, to_hz: int, pcm_rate_hz: int, packet_s: float) -> Iterator[Float32]:
    try:
        with path.open("rb") as pipe:
            yield from pipe_blocks(
                pipe, str(path), to_hz, pcm_rate_hz=pcm_rate_hz, packet_s=packet_s
            )
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})", "check the pipe") from error


def built_stream(sample: StreamSample, block_samples: int) -> Recording:
    """A stream of built data with its instruction and ground truth."""
    record = sample.record
    blocks = cut(sample.audio(), block_samples)
    return Recording(record.id, blocks, record.system, record.events, ends_in_silence=True)


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


def _named_stream(folder: Path, wanted: str, spec: StreamSpec, packet_s: float) -> Recording:
    shards = ShardSet(folder)
    spec.require_same(shards.spec, "the checkpoint", str(folder))
    position = int(wanted) if wanted.isdecimal() else _position(shards, wanted)
    if not 0 <= position < len(shards):
        raise UserError(
            f"{folder}#{wanted}: no such stream", f"the split holds 0 to {len(shards) - 1}"
        )
    return built_stream(shards.read(position), max(1, spec.time.samples(packet_s)))


def _position(shards: ShardSet, wanted: str) -> int:
    ids = [shards.entry(i).id for i in range(len(shards))]
    if wanted in ids:
        return ids.index(wanted)
    close = nearest(wanted, ids)
    hint = f"did you mean {close}?" if close else "give a position or an id of index.json"
    raise UserError(f"{shards.folder}#{wanted}: no such stream", hint)
