"""Baselines and oracles, with the scores that theory predicts (timing protocol 1.8).

::

    never            recall 0, no false trigger
    always           recall 1, everything else false
    random           chance level at a given rate of replies
    oracle           everything 1, latency 0
    oracle_early     1.9 s too early: recall 0, all early, latency -1.9 s
    oracle_late      3 s too late: recall 0 at W = 2, 1 at W = 5
    silence_timer    speaks whenever sound is followed by silence: what a trained model must beat
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.evaluate.outcome import Outcome, Truth
from inference.evaluate.triggers import Onset
from soundflow.audio.level import SILENT_DB, block_power, db
from soundflow.protocol.timebase import TimeBase

Float32 = npt.NDArray[np.float32]

EARLY_ORACLE_S = -1.9
LATE_ORACLE_S = 3.0


def never(truth: Truth, time: TimeBase) -> Outcome:
    return Outcome()


def always(truth: Truth, time: TimeBase) -> Outcome:
    """A reply after every chunk."""
    return _after_chunks(range(time.chunks_in(truth.n_samples)), time)


def random(truth: Truth, time: TimeBase, rate: float, seed: int) -> Outcome:
    """A reply after each chunk with probability ``rate``, from (seed, stream id)."""
    digest = hashlib.sha256(f"{seed}:{truth.id}".encode()).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
    drawn = rng.random(time.chunks_in(truth.n_samples)) < rate
    return _after_chunks(np.flatnonzero(drawn).tolist(), time)


def oracle(truth: Truth, time: TimeBase, shift_s: float = 0.0) -> Outcome:
    """Answers every event correctly, ``shift_s`` after its ``ready``."""
    shift = time.samples(shift_s)
    onsets = [
        Onset(max(0, e.ready_samples + shift), e.answers[0]) for e in truth.events if e.must_respond
    ]
    return Outcome(tuple(sorted(onsets, key=lambda o: o.at_samples)))


@dataclass(frozen=True)
class SilenceTimer:
    """Speaks once when at least ``sound_s`` of sound is followed by ``silence_s`` of silence.

    A slot is sound when its level is ``margin_db`` above the floor: the 10th percentile of the
    levels of the last ``floor_s`` seconds, so that steady noise counts as silence.
    """

    margin_db: float = 9.0
    silence_s: float = 0.4
    sound_s: float = 0.2
    floor_s: float = 5.0

    def __post_init__(self) -> None:
        if min(self.margin_db, self.silence_s, self.sound_s, self.floor_s) <= 0:
            raise ValueError(f"every setting must be positive, got {self}")

    def __call__(self, audio: Float32, time: TimeBase) -> Outcome:
        """The replies to ``audio``, (n,) float32 in [-1, 1]."""
        levels = slot_levels_db(audio, time)
        if not levels.size:
            return Outcome()
        slot_s = time.slot_samples / time.sample_rate_hz
        sound = levels > self._floor(levels, round(self.floor_s / slot_s)) + self.margin_db
        at = self._slots(sound, round(self.sound_s / slot_s), round(self.silence_s / slot_s))
        # Like the model it may only speak at the end of a chunk.
        return _after_chunks(sorted({s // time.slots_per_chunk for s in at}), time)

    @staticmethod
    def _floor(levels: Float32, past: int) -> Float32:
        # Before the stream there was as much noise as in its first slot.
        padded = np.concatenate((np.full(past - 1, levels[:1].mean(), np.float32), levels))
        recent = np.lib.stride_tricks.sliding_window_view(padded, past)
        floor: Float32 = np.percentile(recent, 10, axis=1).astype(np.float32)
        return floor

    @staticmethod
    def _slots(sound: npt.NDArray[np.bool_], enough: int, silence: int) -> Iterator[int]:
        loud_slots = quiet_slots = 0
        for slot, loud in enumerate(sound):
            if loud:
                loud_slots, quiet_slots = loud_slots + 1, 0
                continue
            quiet_slots += 1
            if quiet_slots == silence:
                if loud_slots >= enough:
                    yield slot
                loud_slots = 0


def slot_levels_db(audio: Float32, time: TimeBase) -> Float32:
    """Level of every whole slot in dB relative to full scale, (n_slots,)."""
    whole = len(audio) // time.slot_samples * time.slot_samples
    levels = db(block_power(audio[:whole], time.slot_samples))
    # Below the floor nothing is louder than anything else.
    return np.maximum(levels, SILENT_DB).astype(np.float32)


def _after_chunks(chunks: range | list[int], time: TimeBase) -> Outcome:
    return Outcome(tuple(Onset(time.decision_time_samples(c)) for c in chunks))
