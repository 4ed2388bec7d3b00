"""A voice-activity detector as a baseline: what most voice agents end a turn with.

The detector is Silero's, whose weights come inside the wheel of faster-whisper. It replies when
speech is followed by a stretch without.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inference.evaluate.outcome import Outcome
from inference.evaluate.systems.baselines import after_chunks, pauses
from soundflow.errors import not_installed
from soundflow.protocol.timebase import TimeBase

Float32 = npt.NDArray[np.float32]

BLOCK_SAMPLES = 512  # of the detector, at its rate of 16 kHz
PIECE_BLOCKS = 2048  # it is given a minute at a time: memory does not grow with the recording


@dataclass(frozen=True)
class VoiceActivity:
    """Speaks once when speech is followed by ``silence_s`` without.

    Attributes:
        threshold: of the detector's probability.
        speech_s: so much speech at least makes a turn.
    """

    time: TimeBase = field(repr=False)
    silence_s: float = 0.6
    threshold: float = 0.5
    speech_s: float = 0.1

    def __call__(self, audio: Float32) -> Outcome:
        """The replies to ``audio``, (n,) float32 in [-1, 1] at 16 kHz."""
        block_s = BLOCK_SAMPLES / self.time.sample_rate_hz
        speech = speech_probabilities(audio) >= self.threshold
        at = pauses(speech, max(1, round(self.speech_s / block_s)), round(self.silence_s / block_s))
        ends = ((block + 1) * BLOCK_SAMPLES for block in at)
        # Like the model it may only speak at the end of a chunk.
        return after_chunks(sorted({self.time.chunks_in(end) - 1 for end in ends}), self.time)


@dataclass(frozen=True)
class SilenceOdds:
    """The same timer at every setting at once: p(response) rises with the silence after speech.

    p = s / (1 + s) after s seconds without speech, 0 before any speech; so a threshold of
    p(response) is one of silence.
    """

    time: TimeBase = field(repr=False)
    threshold: float = 0.5

    def __call__(self, audio: Float32) -> Outcome:
        """No replies, but a probability for each chunk of ``audio``, (n,) float32 at 16 kHz."""
        speech = np.flatnonzero(speech_probabilities(audio) >= self.threshold)
        ends = (speech + 1) * BLOCK_SAMPLES
        found = []
        for chunk in range(self.time.chunks_in(len(audio))):
            now = self.time.decision_time_samples(chunk)
            before = int(np.searchsorted(ends, now, side="right"))
            silence_s = self.time.seconds(now - int(ends[before - 1])) if before else 0.0
            found.append(silence_s / (1.0 + silence_s))
        return Outcome(p_response=tuple(found))


def is_installed() -> bool:
    try:
        import faster_whisper.vad  # noqa: F401
    except ImportError:
        return False
    return True


def speech_probabilities(audio: Float32) -> Float32:
    """p(speech) of every block of 512 samples, the last one padded with zeros, (n_blocks,).

    Raises:
        UserError: if the detector is not installed.
    """
    try:
        from faster_whisper.vad import get_vad_model
    except ImportError as error:
        raise not_installed("the voice-activity detector", "asr") from error
    model = get_vad_model()
    step = BLOCK_SAMPLES * PIECE_BLOCKS
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(audio), step):
        piece = audio[start : start + step]
        piece = np.pad(piece, (0, -len(piece) % BLOCK_SAMPLES))
        found.append(np.asarray(model(piece), np.float32).reshape(-1))
    return np.concatenate(found)
