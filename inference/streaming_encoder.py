"""Packets in, encoded chunks out, at a cost a chunk that does not grow with the session.

::

    packet ─▶ StreamingLogMel ─▶ mel (128, 40) ─▶ encoder ─▶ slots (10, d)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from inference.chunk_queue import EncodedChunk
from soundflow.audio.frontend import StreamingLogMel
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.spec import StreamSpec


class StreamingEncoder:
    """One stream's ears. Chunks are encoded one at a time, so packets never change their bits."""

    def __init__(self, model: AudioInteractionModel, spec: StreamSpec) -> None:
        self._model = model
        self._mel = StreamingLogMel(spec.time, spec.front_end)
        self._heard = 0

    @property
    def received_samples(self) -> int:
        return self._mel.received_samples

    def push(self, packet: npt.ArrayLike) -> Iterator[EncodedChunk]:
        """Yields every chunk that ``packet`` completes, encoded when it is asked for.

        Raises:
            UserError: if the packet is not mono or holds NaN or infinity.
        """
        return self._encode(self._mel.push(packet))

    def finish(self) -> Iterator[EncodedChunk]:
        """Pads the stream to a chunk boundary and yields what remains."""
        return self._encode(self._mel.finish())

    def _encode(self, mels: list[npt.NDArray[np.float32]]) -> Iterator[EncodedChunk]:
        for mel in mels:
            with torch.inference_mode():
                batch = torch.from_numpy(mel).unsqueeze(0).to(self._model.device)
                slots = self._model.encode(batch)[0]
            yield EncodedChunk(self._heard, slots)
            self._heard += 1
