"""Packets in, encoded chunks out, at a cost per chunk that does not grow with the session.

::

    packet ─▶ AudioFrontend ─▶ mel (n_mels, frames) ─▶ encoder ─▶ slots (slots, d)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from inference.audio_frontend import open_frontend
from inference.chunk_queue import EncodedChunk
from inference.engine import Engine
from inference.packets import as_float32


class StreamingEncoder:
    """The audio side of one session.

    Chunks are encoded one at a time, so the output does not depend on how the samples were cut into
    packets.
    """

    def __init__(self, engine: Engine) -> None:
        self._model = engine.model
        self._frontend = open_frontend(engine.spec, engine.profile)
        self._encoded = 0

    @property
    def received_samples(self) -> int:
        return self._frontend.received_samples

    def push(self, packet: npt.ArrayLike) -> Iterator[EncodedChunk]:
        """Yields every chunk that ``packet`` completes, encoded when it is asked for.

        Raises:
            UserError: as `inference.packets.as_float32`.
        """
        return self._encode(self._frontend.push(as_float32(packet)))

    def finish(self) -> Iterator[EncodedChunk]:
        """Pads the stream to a chunk boundary and yields what remains."""
        return self._encode(self._frontend.finish())

    def _encode(self, mels: list[npt.NDArray[np.float32]]) -> Iterator[EncodedChunk]:
        for mel in mels:
            with torch.inference_mode():
                batch = torch.from_numpy(mel).unsqueeze(0).to(self._model.device)
                slots = self._model.encode(batch)[0]
            yield EncodedChunk(self._encoded, slots)
            self._encoded += 1
