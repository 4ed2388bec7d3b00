"""What a speech asr_model is to the rest of the build."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


class AsrModel(Protocol):
    """Samples in, text out."""

    @property
    def id(self) -> str:
        """Model and version: verdicts by another id are other verdicts."""

    def transcribe(self, samples: Float32, language: str) -> str:
        """What is said in ``samples``, (n,) float32 mono at 16 kHz.

        Raises:
            UserError: if the asr_model does not know ``language``.
            CallFailure: if it is a server and does not answer usefully.
        """
