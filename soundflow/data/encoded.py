"""What a frozen audio tower makes of the streams, computed once and kept on disk.

::

    FOLDER/<tower and front end>/<shard>.safetensors
        0.states    (n_chunks, slots, width) bfloat16 of the first stream of the shard
        0.ids, 0.roles                       its tokens, so that training reads nothing else
        ...         metadata: id, task and checksum of every stream

The name of the folder is a fingerprint of everything that the numbers depend on, apart from the
streams themselves, whose shard is named by its own checksum. So the stages of a training, and other
runs, share what is there, and nothing old is ever taken for something new.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from soundflow.atomic import disk_error, unfinished
from soundflow.data.features import StreamFeatures, stream_features
from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.reader import ShardSet

_REMEDY = "remove that file and run the command again: it is computed anew"
Encode = Callable[[Tensor], Tensor]  # (n, n_mels, frames) float32 -> (n, slots, width)


def fingerprint(weights: Sequence[tuple[str, Tensor]], spec: StreamSpec) -> str:
    """16 hex digits of a tower's weights and of the front end before it."""
    digest = hashlib.sha256(repr((spec.time, spec.front_end)).encode())
    for name, weight in sorted(weights, key=lambda pair: pair[0]):
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class EncodedStreams:
    """The states of all streams of some splits.

    Attributes:
        folder: of one fingerprint.
        width: of a state.
    """

    folder: Path
    splits: tuple[ShardSet, ...]
    width: int

    def missing(self) -> list[tuple[int, int]]:
        """(split, shard) of what has not been computed yet."""
        return [
            (split, shard)
            for split, shards in enumerate(self.splits)
            for shard in range(len(shards.ends))
            if not self._file(split, shard).is_file()
        ]

    def n_bytes(self, places: Sequence[tuple[int, int]]) -> int:
        """What shards take on disk."""
        return sum(
            states_bytes(self.splits[split], self.splits[split].positions(shard), self.width)
            for split, shard in places
        )

    def write(self, split: int, shard: int, encode: Encode) -> None:
        """Computes the streams of one shard.

        Raises:
            UserError: if the disk is full or a stream is damaged.
        """
        shards, path = self.splits[split], self._file(split, shard)
        positions = shards.positions(shard)
        shards.fetch(positions)
        tensors: dict[str, Tensor] = {}
        streams = []
        for number, position in enumerate(positions):
            stream = stream_features(shards.read(position), shards.spec)
            states = self._states(torch.from_numpy(stream.mel), encode)
            tensors[f"{number}.states"] = states
            tensors[f"{number}.ids"] = torch.from_numpy(stream.ids)
            tensors[f"{number}.roles"] = torch.from_numpy(stream.roles)
            streams.append({"id": stream.id, "task": stream.task, "crc32": _checksum(states)})
        temporary = unfinished(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, temporary, {"streams": json.dumps(streams)})
            os.chmod(temporary, 0o644)  # noqa: PTH101
            temporary.replace(path)
        except OSError as error:
            raise disk_error(error, path) from error
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, split: int, position: int) -> StreamFeatures:
        """One stream, with states instead of a mel.

        Raises:
            UserError: naming the file, if it is damaged.
        """
        shard, number = self.splits[split].place(position)
        path = self._file(split, shard)
        try:
            file, streams = _open(path)
            states = file.get_tensor(f"{number}.states")
            ids, roles = (file.get_tensor(f"{number}.{name}").numpy() for name in ("ids", "roles"))
            about = streams[number]
            intact = _checksum(states) == about["crc32"]
        except (OSError, SafetensorError, KeyError, IndexError, ValueError) as error:
            raise UserError(f"damaged features {path}: {error}", _REMEDY) from error
        if not intact:
            raise UserError(f"damaged features {path}: {about['id']} differs", _REMEDY)
        no_mel = np.zeros((0, 0, 0), np.float32)
        return StreamFeatures(about["id"], ids, roles, no_mel, about["task"], states)

    def _states(self, mel: Tensor, encode: Encode) -> Tensor:
        slots = self.splits[0].spec.time.slots_per_chunk
        if not len(mel):
            return torch.zeros(0, slots, self.width, dtype=torch.bfloat16)
        return encode(mel).to("cpu", torch.bfloat16)

    def _file(self, split: int, shard: int) -> Path:
        return self.folder / f"{self.splits[split].shard_hashes[shard][:32]}.safetensors"


def states_bytes(shards: ShardSet, positions: Sequence[int], width: int) -> int:
    """bfloat16 states of streams, without their tokens."""
    chunks = int(shards.lengths.chunks[list(positions)].sum())
    return 2 * chunks * shards.spec.time.slots_per_chunk * width


@lru_cache(maxsize=64)
def _open(path: Path) -> tuple[Any, list[dict[str, Any]]]:
    file = safe_open(path, framework="pt")
    return file, json.loads(file.metadata()["streams"])  # type: ignore[no-untyped-call]


def _checksum(states: Tensor) -> int:
    return crc32(states.contiguous().view(torch.int16).numpy().tobytes())
