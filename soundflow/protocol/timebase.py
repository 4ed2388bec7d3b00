"""The time base: every length is an exact number of samples (protocol section 1).

::

    sample   |.|.|.|.|.|.|.|.|.|.|.|.|.|.|.|.|   1/16000 s
    frame    |-----|-----|-----|-----|           160 samples  (10 ms, one mel column)
    slot     |-----------------------|           640 samples  (40 ms, one encoder output)
    chunk    |=== 10 slots = 40 frames ===|      6400 samples (0.4 s, one decision)

Rate, frame and slot are those of the audio encoder and the same everywhere: code that needs only
these uses the constants below. The chunk is set for each data set, in the ``stream:`` block of its
build recipe, and is always taken from the `StreamSpec`.
"""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE_RATE_HZ = 16_000
FRAME_SAMPLES = 160
SLOT_SAMPLES = 640
DEFAULT_CHUNK_S = 0.4


def to_samples(seconds: float) -> int:
    """Nearest whole sample at the rate of every clip and stream."""
    return round(seconds * SAMPLE_RATE_HZ)


def to_seconds(n_samples: int) -> float:
    return n_samples / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class TimeBase:
    """Sample rate and the three nested grids, in samples.

    Raises:
        ValueError: if a grid does not divide the next coarser one.
    """

    sample_rate_hz: int = SAMPLE_RATE_HZ
    chunk_samples: int = to_samples(DEFAULT_CHUNK_S)
    slot_samples: int = SLOT_SAMPLES
    hop_samples: int = FRAME_SAMPLES

    def __post_init__(self) -> None:
        grids = (self.sample_rate_hz, self.chunk_samples, self.slot_samples, self.hop_samples)
        if min(grids) <= 0:
            raise ValueError(f"every grid must be positive, got {self}")
        if self.chunk_samples % self.slot_samples or self.slot_samples % self.hop_samples:
            raise ValueError(f"hop must divide slot and slot must divide chunk, got {self}")

    @property
    def frames_per_chunk(self) -> int:
        return self.chunk_samples // self.hop_samples

    @property
    def slots_per_chunk(self) -> int:
        return self.chunk_samples // self.slot_samples

    @property
    def chunk_s(self) -> float:
        return self.chunk_samples / self.sample_rate_hz

    def chunks_in(self, n_samples: int) -> int:
        """Chunks needed to hold ``n_samples``; the last one is padded with zeros."""
        return -(-n_samples // self.chunk_samples)

    def padding_of(self, n_samples: int) -> int:
        """Zeros that bring ``n_samples`` to the next chunk boundary."""
        return -n_samples % self.chunk_samples

    def reply_chunk(self, end_samples: int) -> int:
        """Index of the chunk after which something that ends at ``end_samples`` is answered.

        The published rule puts a response at ``ceil(end / c)`` chunks heard (paper section
        "Composition"); counted from zero that is the chunk that contains the last sample.
        """
        if end_samples <= 0:
            raise ValueError(f"an event must end after the stream began, got {end_samples}")
        return self.chunks_in(end_samples) - 1

    def decision_time_samples(self, chunk: int) -> int:
        """Stream time at which the decision after ``chunk`` can be taken."""
        return (chunk + 1) * self.chunk_samples

    def end_s(self, chunk: int) -> float:
        """Stream time in seconds at which ``chunk`` ends."""
        return self.seconds(self.decision_time_samples(chunk))

    def seconds(self, n_samples: int) -> float:
        return n_samples / self.sample_rate_hz

    def samples(self, seconds: float) -> int:
        """Nearest whole sample."""
        return round(seconds * self.sample_rate_hz)
